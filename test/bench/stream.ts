// A stream as one file of a snapshot, as `restic backup --stdin` keeps it, with the engine's parts as a backup uses them.
import { read as readCallback } from 'node:fs'
import { promisify } from 'node:util'
import type { Batch } from '../../agent/mover/batch.ts'
import { takeLock } from '../../agent/mover/lock.ts'
import { openRepository } from '../../agent/mover/open-repository.ts'
import type { AttemptOf } from '../../agent/mover/plane.ts'
import type { JobEnd } from '../../agent/mover/reporter.ts'
import { syncIndex } from '../../agent/mover/sync-index.ts'
import { openCache } from '../../agent/repository/cache.ts'
import type { Feed } from '../../agent/repository/file-bytes.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { objectKey } from '../../agent/repository/layout.ts'
import { goMode } from '../../agent/repository/mode.ts'
import { encodeSnapshot } from '../../agent/repository/snapshot.ts'
import { fromMilliseconds } from '../../agent/repository/time.ts'
import type { TreeNode } from '../../agent/repository/tree.ts'
import { sealUnpacked } from '../../agent/repository/unpacked.ts'
import { createWriter } from '../../agent/repository/writer.ts'

const read = promisify(readCallback)

/** `S_IFREG` with mode 0644: what restic gives the file of a stream. */
const PLAIN_FILE = 0o100644

/** What a descriptor gives, put where the writer wants it. */
function feedFrom(descriptor: number): Feed {
  return { read: async (into) => (await read(descriptor, { buffer: into })).bytesRead }
}

/** Reads `descriptor` to its end, stores it, and makes a snapshot with the one file `/<name>`. */
export async function backupStream(
  batch: Batch,
  attempt: AttemptOf,
  name: string,
  descriptor: number,
): Promise<Partial<JobEnd>> {
  const { signal, clock, store, bytes } = batch
  const repository = await openRepository(batch, attempt, signal)
  const lock = await takeLock(batch, repository, () => attempt, signal)
  try {
    const index = new BlobIndex()
    const cache = await openCache(batch.start.paths.cache, bytes)
    await syncIndex({ batch, attempt, repository, index, cache, signal })
    const writer = createWriter({
      repository,
      index,
      random: bytes,
      clock,
      onPack: async (pack) => {
        await store.put(objectKey('data', pack.id), pack.id, pack.bytes)
        if (pack.type === 'tree') await cache.add('packs', pack.id, pack.bytes)
      },
      onIndex: async (file) => {
        await store.put(objectKey('index', file.id), file.id, file.bytes)
        await cache.add('index', file.id, file.bytes)
      },
    })
    const { content, size } = await writer.saveFile(feedFrom(descriptor))
    const time = fromMilliseconds(clock.now())
    const node: TreeNode = {
      name: Buffer.from(name),
      type: 'file',
      mode: goMode(PLAIN_FILE),
      mtime: time,
      atime: time,
      ctime: time,
      uid: 0,
      gid: 0,
      size,
      content,
    }
    const tree = await writer.saveTree([node])
    await writer.flush()
    const json = encodeSnapshot({ time, tree: tree.id, paths: [`/${name}`], hostname: 'bench' })
    const snapshot = sealUnpacked(repository.masterKey, json, bytes)
    await store.put(objectKey('snapshots', snapshot.id), snapshot.id, snapshot.bytes)
    return { outcome: 'succeeded', reason: 'completed' }
  } finally {
    await lock.release()
  }
}
