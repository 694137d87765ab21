// Memory in which blobs are opened: lent, so that many packs may be on their way while few take memory to be opened.
import { release } from './release.ts'

/** Grows to what the longest blob needed. */
export class OpeningRoom {
  #bytes: Buffer = Buffer.alloc(0)

  /** `length` bytes with anything in them, lent until the next call. */
  of(length: number): Buffer {
    if (length > this.#bytes.length) {
      release(this.#bytes)
      this.#bytes = Buffer.allocUnsafeSlow(length)
    }
    return this.#bytes.subarray(0, length)
  }

  /** Gives the memory back. */
  close(): void {
    release(this.#bytes)
    this.#bytes = Buffer.alloc(0)
  }
}

export interface OpeningRooms {
  /** Runs `work` with a room of its own, as soon as one is free. */
  lend<T>(work: (room: OpeningRoom) => Promise<T>): Promise<T>
  /** Gives the memory of free rooms back. */
  close(): void
}

export function createOpeningRooms(count: number): OpeningRooms {
  const free = Array.from({ length: count }, () => new OpeningRoom())
  const waiting: ((room: OpeningRoom) => void)[] = []
  return {
    async lend(work) {
      const room = free.pop() ?? (await new Promise<OpeningRoom>((take) => waiting.push(take)))
      try {
        return await work(room)
      } finally {
        const next = waiting.shift()
        if (next === undefined) free.push(room)
        else next(room)
      }
    },
    close() {
      for (const room of free) room.close()
    },
  }
}
