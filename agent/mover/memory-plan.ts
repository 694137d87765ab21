// How a mover keeps within the memory it may use: fewer packs under way and fewer threads, or no work at all.
import { availableParallelism } from 'node:os'
import type { Limits } from '../../shared/backup/limits.ts'
import { JobFailure } from './job-failure.ts'

/** What a backup holds besides, in bytes: runtime and program (about 110 MB), the packs being filled, the files being read. */
const atRest = 192 * 2 ** 20
/** A pack under way: 16 MiB, its header, and what its connection holds. */
const perPack = 18 * 2 ** 20
/** A thread at work: its own engine and the blobs it has in hand. */
const perWorker = 28 * 2 ** 20
/** An entry of the index in memory. */
const perBlob = 64

/** Packs under way at a time where nobody set a limit: what 250 MB carry. And at most. */
const usualUploads = 3
const mostUploads = 16
/** Threads where nobody set a limit, at most: more wait for the one that reads and cuts. */
const usualWorkers = 4

export interface MemoryPlan {
  /** Packs under way at a time, at most. */
  readonly uploads: number
  /** Threads beside the one that reads. */
  readonly workers: number
}

/**
 * The most packs and threads that fit into `memory` bytes beside an index of `blobs` entries: threads first, because
 * each is worth more than a further pack. Rejects with `memory-limit` where not even one pack and the reading thread fit.
 */
export function planMemory(given: {
  memory: number | undefined
  blobs: number
  workers: number | undefined
  cores: number
}): MemoryPlan {
  const { memory, blobs, cores } = given
  const workers = Math.min(given.workers ?? usualWorkers, Math.max(1, cores))
  if (memory === undefined) return { uploads: usualUploads, workers }
  const left = memory - atRest - blobs * perBlob
  if (left < perPack) {
    const mib = (bytes: number): number => Math.ceil(bytes / 2 ** 20)
    const least = atRest + blobs * perBlob + perPack
    throw new JobFailure(
      'memory-limit',
      `${mib(least)} MiB are needed with an index of ${blobs} blobs, ${mib(memory)} MiB are allowed`,
    )
  }
  // Two packs keep the path to the store busy while a third is sealed; that comes before further threads.
  const afterPacks = left - Math.min(2, Math.floor(left / perPack)) * perPack
  const threads = Math.min(workers, Math.floor(afterPacks / perWorker))
  const packs = Math.floor((left - threads * perWorker) / perPack)
  return { uploads: Math.max(1, Math.min(mostUploads, packs)), workers: threads }
}

/** The plan of this machine, the index not counted. */
export function usualPlan({ memory, workers }: Limits, blobs = 0): MemoryPlan {
  return planMemory({ memory, workers, blobs, cores: availableParallelism() })
}

/** For work that has begun: where the memory became too little, the least there is. */
export function planNow(limits: Limits, blobs = 0): MemoryPlan {
  try {
    return usualPlan(limits, blobs)
  } catch (error) {
    if (error instanceof JobFailure) return { uploads: 1, workers: 0 }
    throw error
  }
}
