// A fault of ours for the log: where it came from, without its text, which may hold parameters.

const FRAMES = 4

export function describeFault(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { fault: typeof error }
  const cause = error.cause as { code?: unknown; name?: unknown } | undefined
  const own = (error as { code?: unknown }).code
  return {
    fault: error.name,
    ...(own === undefined ? {} : { code: String(own) }),
    ...(cause?.code === undefined ? {} : { cause: String(cause.code) }),
    at: (error.stack ?? '')
      .split('\n')
      .filter((text) => /^\s+at /.test(text))
      .slice(0, FRAMES)
      .map((text) => text.trim()),
  }
}
