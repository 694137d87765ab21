import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemRandom } from '../../agent/repository/id.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { createWriter } from '../../agent/repository/writer.ts'
import { createRestic } from '../rig/restic.ts'
import { createSeeded } from '../support/seeded.ts'
import { engineOn } from './engine-on-disk.ts'

const MiB = 1024 * 1024
const password = 'cuts'

/** 1.2 GB of what volumes hold, and of what chunkers find hard. */
function writeVaried(folder: string): number {
  mkdirSync(folder)
  const random = createSeeded('cuts')
  let total = 0
  for (let n = 0; total < 1200 * MiB; n++) {
    const size = random.pick([random.between(1, 3 * MiB), random.between(1, 60 * MiB)])
    const text = () => random.bytes(random.between(1, 400_000)).toString('base64')
    const bytes = [
      () => random.bytes(size),
      () => Buffer.alloc(size, text()),
      () => Buffer.alloc(size, random.bytes(random.between(1, 200))),
      () =>
        Buffer.concat([random.bytes(size >> 1), Buffer.alloc(size >> 2), random.bytes(size >> 2)]),
    ][n % 4]!()
    writeFileSync(join(folder, `f${n}`), bytes)
    total += bytes.length
  }
  return total
}

test('more than 1 GB of varied data is cut as stock restic cuts it, by threads and without', async () => {
  const work = mkdtempSync(join(tmpdir(), 'holdfast-cuts-'))
  const restic = createRestic({ repository: join(work, 'repository'), password })
  try {
    const source = join(work, 'source')
    expect(writeVaried(source)).toBeGreaterThan(1e9)
    await restic.init()
    await restic.backup([source])
    const engine = await engineOn(join(work, 'repository'), password)
    const [snapshot] = await engine.snapshots()
    let nodes = await engine.reader.loadTree(snapshot!.tree)
    while (nodes.length === 1) nodes = await engine.reader.loadTree(nodes[0]!.subtree!)
    expect(nodes.length).toBe(readdirSync(source).length)
    for (const workers of [2, 0]) {
      const writer = createWriter({
        repository: engine.repository,
        index: workers === 0 ? engine.index : new BlobIndex(),
        workers,
        random: systemRandom,
        clock: { now: () => 0 },
        onPack: async () => {},
        onIndex: async () => {},
      })
      let added = 0
      for (const { name, content } of nodes) {
        const fd = openSync(join(source, name.toString()), 'r')
        const saved = await writer.saveFile({ read: (into) => readSync(fd, into) })
        closeSync(fd)
        expect(saved.content, name.toString()).toEqual(content)
        added += saved.added.blobs
      }
      // With restic's own index, nothing is new.
      expect(added > 0).toBe(workers > 0)
      await writer.flush()
    }
  } finally {
    restic.close()
    rmSync(work, { recursive: true, force: true })
  }
}, 600_000)
