// The snapshots of the bucket, all of them: whose trees are needed, and which the control plane does not know yet.
import type { ReconcileRequest } from '../../shared/protocol/calls.ts'
import { damaged, RepositoryError } from '../repository/errors.ts'
import type { Id } from '../repository/id.ts'
import { readAhead } from '../repository/read-ahead.ts'
import type { Repository } from '../repository/repository.ts'
import type { Snapshot } from '../repository/snapshot.ts'
import { formatTime } from '../repository/time.ts'
import type { Batch } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import { listAll } from './listing.ts'
import type { AttemptOf } from './plane.ts'
import { readSnapshot } from './read-snapshot.ts'

/** Snapshots on their way while one is looked at. */
const snapshotsAhead = 8
/** Snapshots told of at a time: a few hundred kilobytes at most. */
const toldAtOnce = 100
/** What the words of the protocol allow of each. */
const most = { hostname: 255, paths: 1_000, path: 4_096, tags: 100, tag: 1_024 } as const

/** The snapshots that were opened, and their root trees, each once. */
export interface LiveRoots {
  readonly snapshots: readonly Id[]
  readonly roots: readonly Id[]
}

/**
 * The root trees of the snapshots in `ids`. One that is gone meanwhile needs nothing any more; one that
 * cannot be opened rejects with `damaged`: nobody knows what it needs.
 */
export async function liveRoots(
  batch: Batch,
  attempt: AttemptOf,
  repository: Repository,
  ids: readonly Id[],
  signal: AbortSignal,
): Promise<LiveRoots> {
  const snapshots: Id[] = []
  const roots = new Set<Id>()
  for await (const { id, tree } of open(batch, attempt, repository, ids, signal)) {
    snapshots.push(id)
    roots.add(tree)
  }
  return { snapshots, roots: [...roots] }
}

/** Read the snapshots that the catalogue does not know, and tell the control plane of them. Returns how many. */
export async function tellUnknownSnapshots(
  batch: Batch,
  attempt: AttemptOf,
  repository: Repository,
  signal: AbortSignal,
): Promise<number> {
  const { plane } = batch
  const { objects } = await listAll(plane, attempt, 'unknown-snapshots', signal)
  const sizes = new Map(objects.map(({ id, bytes }) => [id, bytes]))
  let waiting: ReconcileRequest['snapshots'] = []
  let told = 0
  const tell = async (): Promise<void> => {
    if (waiting.length === 0) return
    await plane.ask('reconcile', { ...attempt, snapshots: waiting }, { signal })
    told += waiting.length
    waiting = []
  }
  const ids = [...sizes.keys()]
  for await (const snapshot of open(batch, attempt, repository, ids, signal)) {
    waiting.push(described(snapshot, sizes.get(snapshot.id)!))
    if (waiting.length === toldAtOnce) await tell()
  }
  await tell()
  return told
}

async function* open(
  batch: Batch,
  attempt: AttemptOf,
  repository: Repository,
  ids: readonly Id[],
  signal: AbortSignal,
): AsyncGenerator<Snapshot & { id: Id }> {
  const read = (id: Id) => readSnapshot(batch, attempt, repository, id, signal)
  for await (const { item: id, result } of readAhead(ids, read, snapshotsAhead)) {
    signal.throwIfAborted()
    try {
      yield { ...(await result), id }
    } catch (error) {
      if (error instanceof JobFailure && error.reason === 'snapshot-missing') continue
      if (!(error instanceof RepositoryError)) throw error
      throw damaged(
        `snapshot ${id.slice(0, 8)} cannot be opened, so nobody knows what it needs`,
        error,
      )
    }
  }
}

function described(
  snapshot: Snapshot & { id: Id },
  bytes: number,
): ReconcileRequest['snapshots'][number] {
  const { id, time, tree, hostname = '', paths, tags = [], parent, original } = snapshot
  return {
    id,
    bytes,
    time: formatTime(time),
    tree,
    hostname: hostname.slice(0, most.hostname),
    paths: paths.slice(0, most.paths).map((path) => path.slice(0, most.path)),
    tags: tags.slice(0, most.tags).map((tag) => tag.slice(0, most.tag)),
    ...(parent === undefined ? {} : { parent }),
    ...(original === undefined ? {} : { original }),
  }
}
