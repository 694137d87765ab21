// What can be backed up, and how it is named.
import * as z from 'zod'

/** Docker's own rule for volume names, with a limit of ours. */
const volumeName = z
  .string()
  .max(255)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'must be a Docker volume name')

/** An absolute path without `.` or `..` parts and without a trailing slash. */
export const absolutePath = z
  .string()
  .max(4_096)
  .refine(
    (path) =>
      path.startsWith('/') &&
      !path
        .slice(1)
        .split('/')
        .some((part) => part === '' || part === '.' || part === '..'),
    'must be an absolute path without empty, "." or ".." parts',
  )

export const sourceReference = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('volume'), name: volumeName }),
  /** `/` too: a snapshot that another program made may be of a whole machine. */
  z.strictObject({ kind: z.literal('directory'), path: z.literal('/').or(absolutePath) }),
])
export type SourceReference = z.infer<typeof sourceReference>

/** `volume:<name>` or `directory:<absolute path>`: unique within a host, stable for ever. */
export function formatSource(source: SourceReference): string {
  return source.kind === 'volume' ? `volume:${source.name}` : `directory:${source.path}`
}

/** The inverse of `formatSource`. Throws a ZodError on anything else. */
export function parseSource(text: string): SourceReference {
  const colon = text.indexOf(':')
  const kind = text.slice(0, Math.max(colon, 0))
  const rest = text.slice(colon + 1)
  return sourceReference.parse(kind === 'directory' ? { kind, path: rest } : { kind, name: rest })
}

/** The stable path a snapshot carries: `/volumes/<name>`, or the directory's own. */
export function snapshotPath(source: SourceReference): string {
  return source.kind === 'volume' ? `/volumes/${source.name}` : source.path
}
