import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TreeNode } from '../../agent/repository/tree.ts'
import { createRestic, type Restic } from '../rig/restic.ts'
import { createSeeded } from '../support/seeded.ts'
import { type Engine, engineOn, makeOnDisk, saveFiles } from './engine-on-disk.ts'
import { createStockNodes } from './stock-node.ts'

const MiB = 1024 * 1024
const password = 'both ways'
const random = createSeeded('interop')

/** Content of every kind: noise, zeros, text, empty, and names in need of quoting. */
const files: { readonly [name: string]: Buffer } = {
  noise: random.bytes(13 * MiB + 11),
  zeros: Buffer.alloc(2 * MiB),
  text: Buffer.from('INSERT INTO t VALUES (1, 2, 3);\n'.repeat(100_000)),
  empty: Buffer.alloc(0),
  'quo"te\\ \xff\n<&>': Buffer.from('awkward'),
}

let work: string
let directory: string
let restic: Restic
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'holdfast-interop-'))
  directory = join(work, 'repository')
  restic = createRestic({ repository: directory, password, environment: { TZ: 'UTC' } })
})
afterEach(() => {
  restic.close()
  rmSync(work, { recursive: true, force: true })
})

async function expectRestored(snapshot: string, expected: { readonly [name: string]: Buffer }) {
  const target = join(work, `restored-${snapshot}`)
  await restic.restore(snapshot, target, '--verify')
  expect(readdirSync(target).length).toBe(Object.keys(expected).length)
  for (const [name, bytes] of Object.entries(expected)) {
    const path = Buffer.concat([Buffer.from(`${target}/`), Buffer.from(name, 'latin1')])
    expect(readFileSync(path).equals(bytes), JSON.stringify(name)).toBe(true)
  }
}

async function contentOf(engine: Engine, node: TreeNode): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of engine.reader.loadFile(node.content ?? [])) parts.push(chunk)
  return Buffer.concat(parts)
}

describe('a repository made by our engine', () => {
  beforeEach(() => makeOnDisk(directory, password))

  test('is checked clean by stock restic and restored to the byte', async () => {
    const engine = await engineOn(directory, password)
    const snapshot = await engine.snapshot((writer) => saveFiles(writer, files))
    await restic.check()
    await expectRestored(snapshot, files)
    const [listed] = await restic.snapshots()
    expect(listed).toMatchObject({
      id: snapshot,
      hostname: 'here',
      paths: ['/volumes/x'],
      tags: ['job:1'],
    })
    expect(await engine.check()).toMatchObject({ ok: true, hints: 0 })
  })

  test('opens in stock restic with each of its passwords', async () => {
    const other = createRestic({ repository: directory, password: 'recovery' })
    await other.run('cat', 'masterkey')
    other.close()
    const wrong = createRestic({ repository: directory, password: 'wrong' })
    expect((await wrong.attempt('cat', 'masterkey')).exitCode).not.toBe(0)
    wrong.close()
  })

  test('is carried on by stock restic, then by us, with nothing stored twice', async () => {
    const first = await engineOn(directory, password)
    const doomed = await first.snapshot((writer) =>
      saveFiles(writer, { doomed: random.bytes(5 * MiB), ...files }),
    )

    const source = join(work, 'source')
    mkdirSync(source)
    writeFileSync(join(source, 'noise'), files.noise!)
    const packsBefore = (await restic.list('packs')).length
    await restic.backup([source])
    // restic found our chunks: beside them it had only trees to store.
    expect((await restic.list('packs')).length).toBe(packsBefore + 1)
    await restic.run('forget', doomed, '--prune', '--max-unused', '0')
    await restic.check()

    const again = await engineOn(directory, password)
    const more = random.bytes(3 * MiB)
    const snapshot = await again.snapshot((writer) => saveFiles(writer, { ...files, more }))
    await restic.check()
    await expectRestored(snapshot, { ...files, more })
    expect(await again.check()).toMatchObject({ ok: true })
    expect((await again.snapshots()).length).toBe(2)
  })

  test('is judged alike when it is damaged', async () => {
    const engine = await engineOn(directory, password)
    await engine.snapshot((writer) => saveFiles(writer, files))
    for await (const { key, bytes } of engine.store.list('data/')) {
      const path = join(directory, key)
      const content = readFileSync(path)
      content[Math.floor(bytes / 2)]! ^= 1
      rmSync(path)
      writeFileSync(path, content)
      break
    }
    expect((await engine.check()).ok).toBe(false)
    await expect(restic.check()).rejects.toThrow()
  })
})

describe('a repository made by stock restic', () => {
  let source: string
  let engine: Engine
  beforeEach(async () => {
    source = join(work, 'source')
    mkdirSync(join(source, 'inner'), { recursive: true })
    for (const [name, bytes] of Object.entries(files)) {
      writeFileSync(
        Buffer.concat([Buffer.from(`${source}/inner/`), Buffer.from(name, 'latin1')]),
        bytes,
      )
    }
    await restic.init()
    await restic.backup([source])
    engine = await engineOn(directory, password)
  })

  const inner = async () => {
    const [snapshot] = await engine.snapshots()
    let id = snapshot!.tree
    for (const name of [...source.split('/').slice(1), 'inner']) {
      id = (await engine.reader.loadTree(id)).find((node) => node.name.toString() === name)!
        .subtree!
    }
    return id
  }

  test('is read by ours to the byte, and checked clean', async () => {
    const nodes = await engine.reader.loadTree(await inner())
    expect(nodes.length).toBe(Object.keys(files).length)
    for (const node of nodes) {
      const expected = files[node.name.toString('latin1')]!
      expect((await contentOf(engine, node)).equals(expected)).toBe(true)
    }
    expect(await engine.check()).toMatchObject({ ok: true, hints: 0 })
  })

  test('has files cut where our chunker cuts them, under a polynomial of its own', async () => {
    const stock = createStockNodes(engine.repository.polynomial)
    expect(stock.treeOf(Buffer.from(`${source}/inner`), () => {})).toBe(await inner())
  })

  test('is carried on by ours: known content is not stored again, and stock restic agrees', async () => {
    const before = (await restic.list('packs')).length
    const snapshot = await engine.snapshot((writer) => saveFiles(writer, files))
    expect((await restic.list('packs')).length).toBe(before + 1)
    await restic.check()
    await expectRestored(snapshot, files)
  })
})
