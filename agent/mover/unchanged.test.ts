// Shortcuts of a run with a parent: each may be taken only where nothing changed, and none may change what is stored.
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ArchiveMemory, createArchiveMemory } from '../../test/support/archive-memory.ts'
import { makeRandomTrees } from '../../test/support/random-trees.ts'
import { createSeeded, type Seeded } from '../../test/support/seeded.ts'
import { setXattr } from '../native/xattrs.ts'
import { idOf, systemRandom } from '../repository/id.ts'
import { createVolumeSource } from '../sources/volume.ts'
import { noAccounts } from './accounts.ts'
import { archive } from './archive.ts'
import type { ArchiveOptions } from './archive-contract.ts'
import { systemClock } from './system-clock.ts'

let dir: string
let memory: ArchiveMemory
/** Trees that the run under test stored or looked up by their bytes. */
let saved: string[]
/** Files that the run under test read. */
let read: number

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-unchanged-'))
  memory = createArchiveMemory()
})
afterEach(() => rmSync(dir, { recursive: true }))

function run(more: Partial<ArchiveOptions> = {}) {
  saved = []
  read = 0
  const { writer } = memory
  return archive({
    source: createVolumeSource('v', dir),
    writer: {
      knows: writer.knows,
      saveFile: (chunks) => {
        read++
        return writer.saveFile(chunks)
      },
      saveBlob: (type, text) => {
        saved.push(text.toString())
        return writer.saveBlob(type, text)
      },
    },
    loadTree: memory.loadTree,
    accounts: noAccounts,
    idShift: 0,
    isVolatile: () => false,
    onProgress: () => {},
    clock: systemClock,
    signal: new AbortController().signal,
    ...more,
  })
}

/** Run with the parent; what is stored must be what a run that reads everything stores. */
async function runAfter(parentTree: string, more: Partial<ArchiveOptions> = {}) {
  const whole = await run({ ...more })
  const quick = await run({ parentTree, ...more })
  expect(quick.tree).toBe(whole.tree)
  expect(quick.statistics.totalFiles).toBe(whole.statistics.totalFiles)
  expect(quick.statistics.totalBytes).toBe(whole.statistics.totalBytes)
  return quick
}

function fill(): void {
  for (const sub of ['', 'a/', 'b/', 'b/c/']) {
    if (sub !== '') mkdirSync(join(dir, sub))
    // More than are looked at in one go, and fewer.
    const count = sub === '' ? 100 : 10
    for (let i = 0; i < count; i++) writeFileSync(join(dir, `${sub}f${i}`), `content ${sub} ${i}`)
  }
}

test('a run over what did not change reads no file and writes no directory', async () => {
  fill()
  const first = await run()
  const again = await runAfter(first.tree)
  expect(again.tree).toBe(first.tree)
  expect(read).toBe(0)
  // Two synthetic trees above the source's root; nothing below is encoded again.
  expect(saved).toHaveLength(2)
  expect(again.statistics).toMatchObject({
    filesUnmodified: 130,
    filesChanged: 0,
    filesNew: 0,
    directoriesUnmodified: 4,
    directoriesChanged: 0,
    dataAdded: 0,
  })
})

function replace(path: string, make: () => void): void {
  unlinkSync(path)
  make()
}

/** What may happen to `a/f7`, and whether its content must be read again. */
const changes: [name: string, change: (path: string) => void, reads: boolean][] = [
  ['new content', (path) => writeFileSync(path, 'other'), true],
  [
    'new content of the same length with its mtime put back',
    (path) => {
      const { mtime, atime, size } = lstatSync(path)
      writeFileSync(path, Buffer.alloc(size, '?'))
      utimesSync(path, atime, mtime)
    },
    true,
  ],
  ['another mode', (path) => chmodSync(path, 0o600), true],
  ['another owner', (path) => chownSync(path, 7, 0), true],
  ['another group', (path) => chownSync(path, 0, 7), true],
  ['an attribute', (path) => setXattr(path, 'user.note', Buffer.from('x')), true],
  [
    'another file of the same content and times in its place',
    (path) => {
      const { mtime, atime } = lstatSync(path)
      writeFileSync(`${path}.new`, 'content a/ 7')
      utimesSync(`${path}.new`, atime, mtime)
      renameSync(`${path}.new`, path)
    },
    true,
  ],
  ['a second name', (path) => linkSync(path, `${path}-link`), true],
  ['a symlink in its place', (path) => replace(path, () => symlinkSync('f8', path)), false],
  ['a directory in its place', (path) => replace(path, () => mkdirSync(path)), false],
  ['nothing in its place', (path) => unlinkSync(path), false],
  ['a neighbour before it', (path) => writeFileSync(`${path.slice(0, -1)}6a`, 'new'), true],
]

test.each(changes)('%s is seen, and all others are kept', async (_, change, reads) => {
  fill()
  const first = await run()
  change(join(dir, 'a', 'f7'))
  const again = await runAfter(first.tree)
  expect(again.tree).not.toBe(first.tree)
  expect(read > 0).toBe(reads)
  expect(again.statistics.filesUnmodified).toBeGreaterThanOrEqual(129)
  // The changed directory, the root, and two above it.
  expect(saved.length).toBeLessThanOrEqual(reads ? 4 : 5)
  expect(saved.some((text) => text.includes('"name":"c"'))).toBe(false)
})

test('a chunk that the repository lost is read again, though the directory stays as it is', async () => {
  fill()
  const first = await run()
  memory.blobs.delete(idOf(Buffer.from('content b/c/ 3')))
  const again = await run({ parentTree: first.tree })
  expect(again.tree).toBe(first.tree)
  expect(read).toBe(1)
  expect(again.statistics).toMatchObject({ filesChanged: 1, filesUnmodified: 129 })
})

test('a tree that the repository lost is stored again', async () => {
  fill()
  const first = await run()
  const { writer } = memory
  const lost = [...memory.trees.keys()].find((id) => memory.trees.get(id)!.length === 11)!
  memory.trees.delete(lost)
  const again = await run({
    parentTree: first.tree,
    writer: { ...writer, knows: (type, id) => writer.knows(type, id) },
  })
  expect(again.tree).toBe(first.tree)
  expect(memory.trees.has(lost)).toBe(true)
})

test.each([
  ['spaces between its fields', (text: string) => text.replaceAll('","', '", "')],
  ['fields we do not know', (text: string) => text.replaceAll('"uid"', '"flavour":1,"uid"')],
  [
    'nodes out of order',
    (text: string) => text.replace(/(\{"name":"f1".*?\}),(\{"name":"f2".*?\})/, '$2,$1'),
  ],
  [
    'device numbers on every file, as stock restic has them',
    (text: string) => text.replaceAll(/("inode":\d+)/g, '$1,"device_id":2049'),
  ],
  ['inodes of other files', (text: string) => text.replaceAll(/"inode":\d/g, '"inode":9')],
])('a parent with %s costs time and nothing else', async (_, rewrite) => {
  fill()
  const first = await run()
  const other = (text: string) => {
    const bytes = Buffer.from(rewrite(text))
    const id = idOf(bytes)
    memory.texts.set(id, bytes)
    return id
  }
  // From the leaves up, because trees name their subtrees.
  const rewritten = new Map<string, string>()
  const visit = (id: string): string => {
    const text = memory.texts.get(id)!.toString()
    const renamed = text.replaceAll(
      /"subtree":"(.*?)"/g,
      (_all, below) => `"subtree":"${visit(below)}"`,
    )
    const result = other(renamed)
    rewritten.set(id, result)
    return result
  }
  const parentTree = visit(first.tree)
  expect(parentTree).not.toBe(first.tree)
  const again = await run({ parentTree })
  expect(again.tree).toBe(first.tree)
  expect(again.statistics.filesNew).toBe(0)
})

test('ids and names of owners are compared as the snapshot tells them', async () => {
  fill()
  chownSync(join(dir, 'f1'), 100_033, 100_044)
  const accounts = {
    user: (id: number) => `u<${id}`,
    group: (id: number) => (id === 44 ? 'g' : undefined),
  }
  const inside = { accounts, idShift: 100_000 }
  const first = await run(inside)
  await runAfter(first.tree, inside)
  expect(read).toBe(0)
  const others = { ...inside, accounts: { ...accounts, user: (id: number) => `v${id}` } }
  await runAfter(first.tree, others)
  // Known content under new names of owners: nothing is read, every node is new.
  expect(read).toBe(0)
  expect(saved.length).toBeGreaterThanOrEqual(6)
  await runAfter(first.tree, { ...inside, idShift: 0 })
})

/** Some random changes to a tree of files and directories. */
function shake(at: string, random: Seeded): void {
  for (const entry of readdirSync(at, { withFileTypes: true, encoding: 'buffer' as never })) {
    const raw = (entry as unknown as { name: Buffer }).name
    const path = Buffer.concat([Buffer.from(`${at}/`), raw])
    if (lstatSync(path).isDirectory()) {
      if (random.oneIn(30)) rmSync(path, { recursive: true })
      else if (!raw.some((byte) => byte >= 0x80)) shake(path.toString(), random)
      continue
    }
    if (!random.oneIn(12)) continue
    const kind = random.between(0, 6)
    if (kind === 0) unlinkSync(path)
    else if (kind === 1) renameSync(path, `${at}/renamed-${random.between(0, 9_999)}`)
    else if (!lstatSync(path).isFile()) continue
    else if (kind === 2) appendFileSync(path, random.bytes(random.between(1, 3_000)))
    else if (kind === 3) chmodSync(path, random.pick([0o130, 0o640, 0]))
    else if (kind === 4) chownSync(path, random.pick([0, 5]), random.pick([0, 5]))
    else if (kind === 5) setXattr(path, 'user.shaken', random.bytes(3))
    else utimesSync(path, 1, random.between(0, 2 ** 31))
  }
  if (random.oneIn(4)) writeFileSync(`${at}/new-${random.between(0, 9_999)}`, random.bytes(99))
}

test('after random changes to random trees a quick run stores what a whole one stores', async () => {
  const seed = systemRandom(8).toString('hex')
  const random = createSeeded(`shake ${seed}`)
  makeRandomTrees(dir, 40, seed)
  try {
    let { tree } = await run()
    for (let round = 0; round < 5; round++) {
      if (round > 0) shake(dir, random)
      ;({ tree } = await runAfter(tree))
      await runAfter(tree)
      expect(read).toBe(0)
    }
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error })
  }
})
