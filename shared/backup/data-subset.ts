// A part of a repository's data to be read by a verification, in the words of restic's `--read-data-subset`.
import * as z from 'zod'
import { HoldfastError } from '../errors.ts'
import { sha256 } from '../ids.ts'

/** Parts that packs can be read in: the first byte of a pack's id decides, so there are no more. */
export const MAX_PARTS = 256

/** Subsets that are chosen without looking into a snapshot. */
export const packSubsets = [
  /** Part n of t: in t runs every pack is read. */
  z
    .strictObject({ part: z.int().min(1).max(MAX_PARTS), of: z.int().min(1).max(MAX_PARTS) })
    .refine(({ part, of }) => part <= of, { path: ['part'], message: 'must not be above `of`' }),
  /** A random share of the packs. */
  z.strictObject({ percent: z.number().gt(0).max(100) }),
  /** Random packs of so many bytes together. */
  z.strictObject({ bytes: z.int().min(1) }),
] as const

export const dataSubset = z.union([
  ...packSubsets,
  /** All packs that one snapshot needs; `random`: of any. */
  z.strictObject({ snapshot: z.union([sha256, z.literal('random')]) }),
])
export type DataSubset = z.infer<typeof dataSubset>

/** Bytes that a suffix stands for, as in restic: powers of 1024. */
const units: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

/** `n/t`, `x%`, or a size such as `500M`. Throws `invalid`. */
export function parseDataSubset(text: string): DataSubset {
  const subset = dataSubset.safeParse(read(text.trim()))
  if (subset.success) return subset.data
  throw new HoldfastError('invalid', `"${text}" is no subset of the data`, {
    hint: `write n/t (part n of t, at most ${MAX_PARTS}), x% or a size such as 500M`,
  })
}

function read(text: string): unknown {
  const parts = /^(\d{1,3})\/(\d{1,3})$/.exec(text)
  if (parts !== null) return { part: Number(parts[1]), of: Number(parts[2]) }
  const percent = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(text)
  if (percent !== null) return { percent: Number(percent[1]) }
  const size = /^(\d{1,12})([KMGT]?)$/i.exec(text)
  if (size !== null) return { bytes: Number(size[1]) * (units[size[2]!.toUpperCase()] ?? 1) }
  return undefined
}

/** In one word or three, for logs: `none`, `all`, `2/5`, `10%`, `500 bytes`, `snapshot <id>`. */
export function tellReadData(readData: boolean | DataSubset): string {
  if (typeof readData === 'boolean') return readData ? 'all' : 'none'
  if ('part' in readData) return `${readData.part}/${readData.of}`
  if ('percent' in readData) return `${readData.percent}%`
  if ('bytes' in readData) return `${readData.bytes} bytes`
  return readData.snapshot === 'random' ? 'random snapshot' : `snapshot ${readData.snapshot}`
}
