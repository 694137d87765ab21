import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRestic } from '../rig/restic.ts'
import { createSeeded } from '../support/seeded.ts'
import { type Engine, engineOn, makeOnDisk, saveFiles } from './engine-on-disk.ts'

const MiB = 1024 * 1024
const password = 'a pipeline'
const random = createSeeded('pipeline')
let work: string
let directory: string
let engine: Engine
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'holdfast-pipeline-'))
  directory = join(work, 'repository')
  await makeOnDisk(directory, password)
  engine = await engineOn(directory, password)
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** Every number of threads and every level, twice; the level is what a thread is told, so not each with each. */
const combinations = [0, 1, 2, 4].flatMap((workers, i) => [
  { workers, compressionLevel: i },
  { workers, compressionLevel: (i + 2) % 4 },
])

test('what any number of threads wrote at any level is checked clean by stock restic', async () => {
  const trees: string[] = []
  for (const options of combinations) {
    const files = {
      noise: random.bytes(3 * MiB + random.between(0, MiB)),
      text: Buffer.alloc(2 * MiB, random.bytes(random.between(1, 90_000)).toString('base64')),
      small: random.bytes(random.between(0, 500_000)),
    }
    await engine.snapshot(async (writer) => {
      const tree = await saveFiles(writer, files)
      trees.push(tree)
      return tree
    }, options)
  }
  expect(new Set(trees).size).toBe(combinations.length)
  const restic = createRestic({ repository: directory, password })
  try {
    await restic.check()
  } finally {
    restic.close()
  }
  expect((await engine.check()).ok).toBe(true)
})
