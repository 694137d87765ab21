// One JSON object per line, in both directions: cutting a byte stream into lines, and writing lines with patience.
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

/** A line that never ends would fill the memory; whoever sends one is not our counterpart. */
export class LineTooLongError extends Error {
  constructor(limit: number) {
    super(`a line is longer than ${limit} characters`)
    this.name = 'LineTooLongError'
  }
}

const newline = 0x0a

/**
 * The lines of `input` without their ends, decoded as UTF-8. Rejects with `LineTooLongError` as soon as a
 * line passes `limit` (UTF-16 code units). A last line without an end is dropped: its writer died in it.
 */
export async function* readLines(input: Readable, limit: number): AsyncGenerator<string> {
  let parts: Buffer[] = []
  let held = 0
  for await (const chunk of input as AsyncIterable<Buffer>) {
    let from = 0
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      parts.push(chunk.subarray(from, end))
      const line = Buffer.concat(parts).toString('utf8')
      parts = []
      held = 0
      from = end + 1
      if (line.length > limit) throw new LineTooLongError(limit)
      yield line
    }
    const rest = chunk.subarray(from)
    held += rest.length
    // A code unit takes at most three bytes of UTF-8, so this never refuses a line that is short enough.
    if (held > limit * 3) throw new LineTooLongError(limit)
    if (rest.length > 0) parts.push(rest)
  }
}

/** Writes lines in order. Each call resolves when the far side has taken enough for the next one. */
export interface LineWriter {
  write(line: string): Promise<void>
}

/** `write` rejects with `LineTooLongError`, or once the stream is gone. */
export function createLineWriter(output: Writable, limit: number): LineWriter {
  let last: Promise<void> = Promise.resolve()
  let failed: Error | undefined
  output.on('error', (error) => {
    failed = error
  })
  async function writeNow(line: string): Promise<void> {
    if (failed !== undefined) throw failed
    // A stream that was closed in good order reports no error, and never drains either.
    if (!output.writable) throw new Error('the far side is gone')
    if (output.write(`${line}\n`)) return
    const settled = new AbortController()
    const { signal } = settled
    const closed = once(output, 'close', { signal }).then(() => {
      throw failed ?? new Error('the far side is gone')
    })
    try {
      await Promise.race([once(output, 'drain', { signal }), closed])
    } finally {
      settled.abort()
    }
  }
  return {
    write(line) {
      if (line.length > limit) return Promise.reject(new LineTooLongError(limit))
      const mine = last.then(() => writeNow(line))
      last = mine.catch(() => {})
      return mine
    },
  }
}
