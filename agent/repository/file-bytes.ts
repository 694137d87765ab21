// How a file's bytes come to the writer.
import { primitives } from './primitives.ts'

/** A source that puts its bytes where they are wanted: nothing is copied on the way. */
export interface Feed {
  /** Fill `into` from its beginning; how many bytes there were, 0 at the end. `into` is lent until then. */
  read(into: Buffer): number | Promise<number>
}

/** The bytes of a file in order. */
export type FileBytes = Feed | AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** The buffers of an iterable, copied to where they are wanted. `end` tells a source that is given up. */
export function feedOf(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Feed & { end(): Promise<void> } {
  const steps =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  let rest: Uint8Array = Buffer.alloc(0)
  let over = false
  return {
    async read(into) {
      while (rest.length === 0) {
        over = true // also if it throws: then nobody needs to tell it
        const step = await steps.next()
        if (step.done) return 0
        over = false
        rest = step.value
      }
      const part = rest.subarray(0, into.length)
      primitives.copy(part, into.subarray(0, part.length))
      rest = rest.subarray(part.length)
      return part.length
    },
    async end() {
      if (!over) await steps.return?.()
    },
  }
}
