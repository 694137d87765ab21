// Whole listings of the repository, page by page, as the bucket has them now.
import type { StoredObject } from '../storage/object-store.ts'
import type { AttemptOf, Plane } from './plane.ts'

export type Listed = 'index' | 'keys' | 'snapshots' | 'packs'
/** What only a prune may list, beside these. */
export type ListedByPrune = Listed | 'condemned' | 'unknown-snapshots'

export interface WholeListing {
  readonly objects: { id: string; bytes: number }[]
  /** The repository's epoch when the listing began. */
  readonly epoch: number
}

/** Every object of one kind. A prune between two pages shows in the epoch: then the listing begins again. */
export async function listAll(
  plane: Plane,
  attempt: AttemptOf,
  what: ListedByPrune,
  signal: AbortSignal,
): Promise<WholeListing> {
  for (;;) {
    const objects: { id: string; bytes: number }[] = []
    let epoch: number | undefined
    let moved = false
    let cursor: string | undefined
    do {
      const body = { ...attempt, what, ...(cursor === undefined ? {} : { cursor }) }
      const page = await plane.ask('listing', body, { signal })
      epoch ??= page.epoch
      moved ||= page.epoch !== epoch
      objects.push(...page.objects)
      cursor = page.next
    } while (cursor !== undefined && !moved)
    if (!moved) return { objects, epoch: epoch ?? 0 }
  }
}

/** The key of a listed object, relative to the repository. */
export function keyOfListed(what: Listed, id: string): string {
  return what === 'packs' ? `data/${id.slice(0, 2)}/${id}` : `${what}/${id}`
}

export function asStored(what: Listed, object: { id: string; bytes: number }): StoredObject {
  return { key: keyOfListed(what, object.id), bytes: object.bytes }
}
