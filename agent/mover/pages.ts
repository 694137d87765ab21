// Pages for one person: plaintext gathered up to a limit, sealed to their one-time key, sent in order.
import { sealTo } from './sealed.ts'

/** Limits of a page: what a terminal or browser shows at once, and what one request may carry. */
export const pageEntries = 1_000
export const pageBytes = 2 ** 20

export type SendPage = (page: number, last: boolean, sealed: string) => Promise<void>

/**
 * Sends every piece of `pieces` as one page each, the last one marked. No piece at all is one empty page, so
 * that whoever reads knows that it is over. Returns how many bytes of plaintext went out.
 */
export async function sendPages(
  pieces: AsyncIterable<Uint8Array>,
  recipient: string,
  send: SendPage,
): Promise<number> {
  let held: Uint8Array | undefined
  let page = 0
  let bytes = 0
  for await (const piece of pieces) {
    if (held !== undefined) await send(page++, false, await sealTo([recipient], held))
    held = piece
    bytes += piece.length
  }
  await send(page, true, await sealTo([recipient], held ?? new Uint8Array(0)))
  return bytes
}

/** Lines gathered into pages of at most `pageEntries` lines and `pageBytes` bytes. */
export async function* pagesOfLines(lines: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  let held: Buffer[] = []
  let bytes = 0
  for await (const line of lines) {
    const next = Buffer.from(`${line}\n`)
    if (held.length === pageEntries || (held.length > 0 && bytes + next.length > pageBytes)) {
      yield Buffer.concat(held)
      held = []
      bytes = 0
    }
    held.push(next)
    bytes += next.length
  }
  if (held.length > 0) yield Buffer.concat(held)
}

/** Bytes gathered into pages of exactly `pageBytes`, the last one shorter. */
export async function* pagesOfBytes(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let page = Buffer.allocUnsafe(pageBytes)
  let filled = 0
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; ) {
      const part = chunk.subarray(from, from + pageBytes - filled)
      page.set(part, filled)
      filled += part.length
      from += part.length
      if (filled === pageBytes) {
        yield page
        page = Buffer.allocUnsafe(pageBytes)
        filled = 0
      }
    }
  }
  if (filled > 0) yield page.subarray(0, filled)
}
