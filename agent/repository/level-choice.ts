// Which zstd level a thread uses where nobody asked for one.

/** zstd level 1–22, 0 for none; `auto`: the fastest that stores as little. */
export type Level = number | 'auto'

/**
 * Bytes from which level 1 may be as good as level 2: on 1.5 MiB of SQL text it was smaller, on other text a quarter
 * larger. On less it is hardly faster.
 */
const leastChunk = 256 * 1024
/** Every so many chunks that shrink, both levels are tried: that costs about a twentieth of the time for compression. */
const trialEvery = 16
/** What an earlier trial still counts at the next. */
const remembered = 7 / 8
/** How much larger level 1 may make things and still count as no larger. */
const margin = 1.002

/** Level 1 where lately it made chunks no larger than level 2, which takes a quarter more time; otherwise level 2. */
export class LevelChoice {
  #untilTrial = 0
  /** Bytes that the chunks of recent trials became at levels 1 and 2, older ones counting less. */
  #one = 0
  #two = 0

  /** `compress` at the level that suits `length` bytes; it gives the length of what it made, 0 if it does not fit. */
  use(length: number, compress: (level: number) => number): number {
    if (length < leastChunk) return compress(2)
    if (this.#untilTrial > 0) {
      const packed = compress(this.#two > 0 && this.#one <= this.#two * margin ? 1 : 2)
      if (packed > 0) this.#untilTrial--
      return packed
    }
    const one = compress(1) || length
    const two = compress(2)
    if (two === 0) return 0
    this.#one = this.#one * remembered + one
    this.#two = this.#two * remembered + two
    this.#untilTrial = trialEvery - 1
    return two
  }
}
