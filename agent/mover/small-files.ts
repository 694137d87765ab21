// Small files on their way from the disk to the writer: opened some ahead, read in one go, saved many at a time.

import { createHash } from 'node:crypto'
import { systemErrorCode } from '../native/syscall-error.ts'
import { ReadRoom } from './read-room.ts'
import type { EarlierRead, Saved } from './steady-read.ts'

/** Files up to this many bytes are read here. Beyond, a call costs little beside the bytes. */
export const SMALL_FILE = 64 << 10
/** Files open ahead of the one that is read: the kernel fetches their beginnings meanwhile. */
const AHEAD = 16

export type SmallOutcome<S extends Saved> =
  | { readonly kind: 'saved'; readonly saved: S }
  /** It changed meanwhile or could not be read; `earlier` is what was read, if anything was. */
  | { readonly kind: 'other'; readonly earlier?: EarlierRead }

/** A small file that is open. */
export interface OpenSmall {
  readonly size: number
  /** Fill `into` from the file's beginning; how many bytes there were. */
  readInto(into: Buffer): number
  /** Whether nobody wrote to it since it was opened. */
  isSteady(): boolean
  close(): void
}

export interface SmallFilesDeps<S extends Saved> {
  /** `bytes` are lent until the promise settles. */
  save(bytes: readonly Uint8Array[]): Promise<S>
}

interface Waiting<S extends Saved> {
  readonly file: OpenSmall
  readonly settle: (outcome: SmallOutcome<S> | Promise<SmallOutcome<S>>) => void
}

/**
 * Between the looks at a file before and after its read nothing else runs, so what a quiet file holds is found at once:
 * nobody waits for it, and the writer gets whole directories at a time. All others are left to the steady read.
 */
export class SmallFiles<S extends Saved> {
  readonly #deps: SmallFilesDeps<S>
  readonly #waiting: Waiting<S>[] = []
  readonly #room = new ReadRoom(SMALL_FILE)

  constructor(deps: SmallFilesDeps<S>) {
    this.#deps = deps
  }

  /** Resolves when another file may be opened. */
  ready(): Promise<void> | undefined {
    return this.#room.ready()
  }

  /** Take an open file, which is read when some more were taken, or by `finish`. To be called when `ready`. */
  take(file: OpenSmall): Promise<SmallOutcome<S>> {
    const { promise, resolve: settle } = Promise.withResolvers<SmallOutcome<S>>()
    this.#waiting.push({ file, settle })
    if (this.#waiting.length > AHEAD) this.#readNext()
    return promise
  }

  /** Read all that is open. */
  async finish(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#room.ready()
      if (this.#waiting.length > 0) this.#readNext()
    }
  }

  /** Close what is open and will not be read; those who wait for it are told nothing. */
  giveUp(): void {
    for (const { file, settle } of this.#waiting.splice(0)) {
      file.close()
      settle({ kind: 'other' })
    }
  }

  #readNext(): void {
    const { file, settle } = this.#waiting.shift()!
    const { size } = file
    const { bytes, release } = this.#room.take(size)
    let lent = false
    try {
      const count = file.readInto(bytes)
      if (count === size && file.isSteady()) {
        lent = true
        settle(this.#save(size === 0 ? [] : [bytes], release))
        return
      }
      const hash = createHash('sha256').update(bytes.subarray(0, count)).digest('hex')
      settle({ kind: 'other', earlier: { size: count, hash } })
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error
      settle({ kind: 'other' })
    } finally {
      if (!lent) release()
      file.close()
    }
  }

  async #save(bytes: readonly Uint8Array[], release: () => void): Promise<SmallOutcome<S>> {
    try {
      return { kind: 'saved', saved: await this.#deps.save(bytes) }
    } finally {
      release()
    }
  }
}
