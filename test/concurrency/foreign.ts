// Another program, as restic works: it looks at the locks itself, asks no control plane, and may be believed dead after
// half an hour of silence although it goes on.
import { BlobIndex } from '../../agent/repository/index.ts'
import { decodeIndex } from '../../agent/repository/index-file.ts'
import { objectKey } from '../../agent/repository/layout.ts'
import { lockConflicts, sealLock } from '../../agent/repository/lock-file.ts'
import type { Repository } from '../../agent/repository/repository.ts'
import { encodeSnapshot } from '../../agent/repository/snapshot.ts'
import { fromMilliseconds } from '../../agent/repository/time.ts'
import { compareNodes, type TreeNode } from '../../agent/repository/tree.ts'
import { openUnpacked, sealUnpacked } from '../../agent/repository/unpacked.ts'
import { createWriter, type RepositoryWriter } from '../../agent/repository/writer.ts'
import { directoryNode, fileNode } from '../support/scratch-repository.ts'
import type { Seeded } from '../support/seeded.ts'
import { began } from './host.ts'
import type { Actor, Turns } from './turns.ts'

/** One backup of `content`; undefined if it was kept out. */
export async function foreignBackup(options: {
  repository: Repository
  /** The bucket. */
  objects: Map<string, Buffer>
  turns: Turns
  actor: Actor
  seeded: Seeded
  content: ReadonlyMap<string, Buffer>
  onStored: (snapshot: string) => void
}): Promise<string | undefined> {
  const { repository, objects, turns, actor, seeded, content, onStored } = options
  const key = repository.masterKey
  const random = (n: number) => seeded.bytes(n)
  const now = () => began + turns.now
  const store = async (at: string, bytes: Buffer) => {
    await turns.turn(actor, `put ${at.slice(0, 12)}`)
    objects.set(at, Buffer.from(bytes))
  }

  const about = { exclusive: false, hostname: 'elsewhere', username: 'somebody', pid: 7 }
  const lock = sealLock(key, { time: fromMilliseconds(now()), ...about }, random)
  await store(`locks/${lock.id}`, lock.bytes)
  await turns.turn(actor, 'look at locks')
  const others = [...objects].flatMap(([at, bytes]) =>
    at.startsWith('locks/') && !at.endsWith(lock.id) ? [{ id: at.slice(6), bytes }] : [],
  )
  if (lockConflicts({ key, exclusive: false, others, now: now() }).length > 0) {
    objects.delete(`locks/${lock.id}`)
    return undefined
  }
  await turns.turn(actor, 'read indexes')
  const index = new BlobIndex()
  for (const [at, bytes] of objects) {
    if (!at.startsWith('index/')) continue
    index.addFile(at.slice(6), decodeIndex(openUnpacked(key, at.slice(6), bytes)))
  }
  const writer = createWriter({
    repository,
    index,
    random,
    clock: { now },
    onPack: ({ id, bytes }) => store(objectKey('data', id), bytes),
    onIndex: ({ id, bytes }) => store(objectKey('index', id), bytes),
  })
  const tree = await saveVersion(writer, content)
  await writer.flush()
  const json = encodeSnapshot({ time: fromMilliseconds(now()), tree, paths: ['/elsewhere'] })
  const { id, bytes } = sealUnpacked(key, json, random)
  await store(`snapshots/${id}`, bytes)
  onStored(id)
  await turns.turn(actor, 'unlock')
  objects.delete(`locks/${lock.id}`)
  return id
}

/** A volume's version as a backup of ours would lay it out. */
async function saveVersion(
  writer: RepositoryWriter,
  content: ReadonlyMap<string, Buffer>,
): Promise<string> {
  const nodesOf = async (prefix: string): Promise<TreeNode[]> => {
    const nodes: TreeNode[] = []
    for (const [path, bytes] of content) {
      const name = path.slice(prefix.length)
      if (!path.startsWith(prefix) || name.includes('/')) continue
      const { id } = await writer.saveBlob('data', bytes)
      nodes.push(fileNode(name, [id], bytes.length))
    }
    return nodes.sort(compareNodes)
  }
  const sub = (await writer.saveTree(await nodesOf('sub/'))).id
  const top = [...(await nodesOf('')), directoryNode('sub', sub)].sort(compareNodes)
  const volume = directoryNode('v', (await writer.saveTree(top)).id)
  const volumes = directoryNode('volumes', (await writer.saveTree([volume])).id)
  return (await writer.saveTree([volumes])).id
}
