// What a prune says of itself: counts and sizes, as restic's own prune sums up.
import type { Retirement } from '../../shared/backup/retirement.ts'
import type { PruneResult } from '../repository/prune.ts'
import type { PruneSummary } from '../repository/prune-plan.ts'

/** Whether a retirement says anything at all. */
export function isWorthTelling(retirement: Retirement): boolean {
  const { added, replacedIndexes, condemned, unindexed, confirmed } = retirement
  return [added.packs, added.indexes, replacedIndexes, condemned, unindexed, confirmed].some(
    (list) => list.length > 0,
  )
}

/** One sentence; without `result`, of what would be done. */
export function summaryOf(summary: PruneSummary, result?: PruneResult): string {
  const { listed, needed, unreferenced, repack, unlisted, missing, unusedAfter } = summary
  const parts = [
    `${listed.packs} packs (${size(listed.bytes)}), of which ${size(needed.bytes)} are needed`,
    `${unreferenced.packs} packs (${size(unreferenced.bytes)}) are needed by nothing`,
    `${repack.packs} packs (${size(repack.bytes)}) are worth writing anew, which frees ${size(repack.unused)}`,
  ]
  if (missing.packs > 0) parts.push(`${missing.packs} packs that are gone were needed by nothing`)
  if (unlisted.packs > 0) {
    parts.push(`${unlisted.packs} packs (${size(unlisted.bytes)}) are in no index file`)
  }
  if (result !== undefined) {
    const bytes = result.condemned.reduce((sum, pack) => sum + pack.bytes, 0)
    parts.push(`${result.condemned.length} packs (${size(bytes)}) are given up`)
    parts.push(`${result.replacedIndexes.length} index files are replaced`)
    if (result.damaged > 0) {
      parts.push(`${result.damaged} packs could not be read whole and stay; run a verification`)
    }
  }
  parts.push(`${size(unusedAfter)} stay unused`)
  return parts.join('; ')
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

function size(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
