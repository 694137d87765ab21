import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Passed, Passes, Source, SourceDirectory, SourceEntry } from './source.ts'

/** How much a source holds, as far as it can be seen. */
export interface Extent {
  files: number
  directories: number
  /** Sum of the sizes of regular files. */
  bytes: number
}

/** Entries looked at before other work gets its turn: about a millisecond. */
const TURN = 200

/**
 * Count a source without opening its files, in small steps between other work. What cannot be read
 * is not counted: the backup itself reports it. Rejects with the signal's reason when it fires.
 */
export async function measure(source: Source, signal: AbortSignal): Promise<Extent> {
  const extent: Extent = { files: 0, directories: 0, bytes: 0 }
  let looked = 0
  const count: Passes = (_name, glance) => {
    if (glance === undefined) return false
    extent.files++
    extent.bytes += glance.size
    return true
  }
  const visit = async (open: () => SourceDirectory): Promise<void> => {
    let directory: SourceDirectory
    let entries: Iterable<SourceEntry | Passed>
    try {
      directory = open()
    } catch {
      return
    }
    extent.directories++
    try {
      entries = directory.outline(count)
    } catch {
      directory.close()
      return
    }
    try {
      for (const entry of entries) {
        looked += entry.kind === 'passed' ? entry.count : 1
        if (looked >= TURN) {
          looked = 0
          await nextTurn()
          signal.throwIfAborted()
        }
        if (entry.kind === 'file') {
          extent.files++
          extent.bytes += Number(entry.stat.size)
        } else if (entry.kind === 'dir' && entry.mount !== 'left-out') await visit(entry.open)
      }
    } finally {
      directory.close()
    }
  }
  signal.throwIfAborted()
  await visit(() => source.open())
  return extent
}
