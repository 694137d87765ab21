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
  const objects = wanted.map(({ id, bytes }) => ({ what: 'pack' as const, id, bytes }))
  const stored = await storedNow(plane, attempt, objects, signal)
  for (const pack of wanted) {
    if (stored.has(pack.id)) there.push(pack)
    else gone.push(pack.id)
  }
  return { there, gone }
}

/** Which of these objects the store holds at this moment, each in its size. */
export async function storedNow(
  plane: Plane,
  attempt: AttemptOf,
  objects: readonly { what: 'pack' | 'index'; id: Id; bytes: number }[],
  signal: AbortSignal,
): Promise<Set<Id>> {
  const there = new Set<Id>()
  for (let at = 0; at < objects.length; at += perQuestion) {
    const some = objects
      .slice(at, at + perQuestion)
      .map(({ what, id, bytes }) => ({ what, id, bytes }))
    const answer = await plane.ask('stored', { ...attempt, objects: some }, { signal })
    for (const { id, state } of answer.objects) if (state === 'stored') there.add(id)
  }
  return there
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
