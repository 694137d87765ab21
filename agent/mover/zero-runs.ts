/** What a disk stores at least: a hole shorter than a block saves nothing. */
const BLOCK = 4_096
/**
 * Zeros shorter than this are written like other bytes. A database file full of small holes would fall
 * into as many pieces; one hole of this size costs nothing.
 */
const LEAST_HOLE = 64 << 10

const zeros = Buffer.alloc(BLOCK)

/** A stretch of a buffer, `end` not included. */
export interface Run {
  readonly start: number
  readonly end: number
}

/**
 * The stretches of `bytes` that must be written if they go to `offset` of a file whose every byte reads as zero:
 * everything but long, block-aligned runs of zeros.
 */
export function writtenRuns(bytes: Buffer, offset: number): Run[] {
  const runs: Run[] = []
  let start = 0 // of the run being gathered
  let zeroFrom = -1 // where the zeros now being looked at began
  const first = (BLOCK - (offset % BLOCK)) % BLOCK
  const closeHole = (end: number) => {
    if (zeroFrom >= 0 && end - zeroFrom >= LEAST_HOLE) {
      if (zeroFrom > start) runs.push({ start, end: zeroFrom })
      start = end
    }
    zeroFrom = -1
  }
  let at = first
  for (; at + BLOCK <= bytes.length; at += BLOCK) {
    const zero = bytes[at] === 0 && zeros.compare(bytes, at, at + BLOCK) === 0
    if (!zero) closeHole(at)
    else if (zeroFrom < 0) zeroFrom = at
  }
  closeHole(Math.min(at, bytes.length))
  if (start < bytes.length) runs.push({ start, end: bytes.length })
  return runs
}

/** What `runs`, in order, leave out of `length` bytes. */
export function holesBetween(runs: readonly Run[], length: number): Run[] {
  const holes: Run[] = []
  let start = 0
  for (const run of runs) {
    if (run.start > start) holes.push({ start, end: run.start })
    start = run.end
  }
  if (start < length) holes.push({ start, end: length })
  return holes
}
