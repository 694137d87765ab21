// Packs of a run that died: which of them may be taken up again?
import type { Id } from '../repository/id.ts'
import type { BlobIndex } from '../repository/index.ts'
import type { JournalledPack } from './pack-journal.ts'
import type { AttemptOf, Plane } from './plane.ts'

/** Objects of one question, as the protocol allows. */
const perQuestion = 500

/**
 * Asks the store which packs are there, and sorts out those that need no adoption because an index file lists them or
 * everything in them. Call under a new lock and with the index just listed: before it, somebody's prune may have
 * removed a pack, and what was true then says nothing.
 */
export async function findAgain(
  plane: Plane,
  attempt: AttemptOf,
  packs: readonly JournalledPack[],
  index: BlobIndex,
  signal: AbortSignal,
): Promise<{ there: JournalledPack[]; gone: Id[] }> {
  const there: JournalledPack[] = []
  const gone: Id[] = []
  const wanted: JournalledPack[] = []
  for (const pack of packs) {
    if (isOfUse(pack, index)) wanted.push(pack)
    else gone.push(pack.id)
  }
  for (let at = 0; at < wanted.length; at += perQuestion) {
    const some = wanted.slice(at, at + perQuestion)
    const objects = some.map(({ id, bytes }) => ({ what: 'pack' as const, id, bytes }))
    const answer = await plane.ask('stored', { ...attempt, objects }, { signal })
    const stored = new Set(
      answer.objects.filter(({ state }) => state === 'stored').map(({ id }) => id),
    )
    for (const pack of some) {
      if (stored.has(pack.id)) there.push(pack)
      else gone.push(pack.id)
    }
  }
  return { there, gone }
}

/** A pack belongs into one index file: none that is listed already, and none that would bring nothing new. */
function isOfUse({ id, blobs }: JournalledPack, index: BlobIndex): boolean {
  let news = false
  for (const blob of blobs) {
    const places = index.findAll(blob.type, blob.id)
    if (places.some(({ pack }) => pack === id)) return false
    if (places.length === 0) news = true
  }
  return news
}
