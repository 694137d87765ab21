import type { BigIntStats } from 'node:fs'

/** Files with several names that were read in this run, so that each is read once. */
export class LinkedFiles {
  readonly #known = new Map<
    string,
    { stat: BigIntStats; content: readonly string[]; left: bigint }
  >()

  /** A file was read whole and did not change meanwhile. */
  remember(stat: BigIntStats, content: readonly string[]): void {
    if (stat.nlink > 1n) this.#known.set(keyOf(stat), { stat, content, left: stat.nlink - 1n })
  }

  /** The content of another name of a remembered file, if the file is as it was then. */
  contentOf(stat: BigIntStats): readonly string[] | undefined {
    if (stat.nlink === 1n) return undefined
    const known = this.#known.get(keyOf(stat))
    if (!known) return undefined
    if (--known.left === 0n) this.#known.delete(keyOf(stat))
    const same =
      known.stat.size === stat.size &&
      known.stat.mtimeNs === stat.mtimeNs &&
      known.stat.ctimeNs === stat.ctimeNs
    return same ? known.content : undefined
  }
}

function keyOf(stat: BigIntStats): string {
  return `${stat.dev}:${stat.ino}`
}
