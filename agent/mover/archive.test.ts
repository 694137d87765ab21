import { execFile } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ArchiveMemory, createArchiveMemory } from '../../test/support/archive-memory.ts'
import { makeSpecialFile } from '../native/special-file.ts'
import type { TreeNode } from '../repository/tree.ts'
import { createDirectorySource } from '../sources/directory.ts'
import { systemOpen } from '../sources/file-content.ts'
import { createPatternMatcher } from '../sources/patterns.ts'
import { createVolumeSource } from '../sources/volume.ts'
import { noAccounts } from './accounts.ts'
import { archive } from './archive.ts'
import type { ArchiveOptions, ArchiveProgress } from './archive-contract.ts'
import { systemClock } from './system-clock.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-archive-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

function run(memory: ArchiveMemory, more: Partial<ArchiveOptions> = {}) {
  return archive({
    source: createVolumeSource('v', dir),
    writer: memory.writer,
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

/** The node at a path below the source's root; '' is the root itself. */
function nodeAt(memory: ArchiveMemory, tree: string, path: string): TreeNode | undefined {
  let node: TreeNode | undefined
  let subtree: string | undefined = tree
  for (const name of ['volumes', 'v', ...path.split('/').filter(Boolean)]) {
    node = memory.trees.get(subtree!)?.find((n) => n.name.toString() === name)
    subtree = node?.subtree
  }
  return node
}

test('the volume lies under a synthetic directory and keeps its own metadata', async () => {
  chownSync(dir, 999, 998)
  chmodSync(dir, 0o700)
  const memory = createArchiveMemory()
  const { tree } = await run(memory)
  const [volumes] = memory.trees.get(tree)!
  expect(volumes).toEqual({
    name: Buffer.from('volumes'),
    type: 'dir',
    mode: 2_147_484_141,
    mtime: 0n,
    atime: 0n,
    ctime: 0n,
    uid: 0,
    gid: 0,
    subtree: volumes!.subtree,
  })
  expect(nodeAt(memory, tree, '')).toMatchObject({ uid: 999, gid: 998, mode: 2_147_484_096 })
})

test('names of users and groups come from the accounts, ids from the container', async () => {
  writeFileSync(join(dir, 'f'), '')
  chownSync(join(dir, 'f'), 100_033, 100_034)
  const memory = createArchiveMemory()
  const accounts = { user: (id: number) => `u${id}`, group: (id: number) => `g${id}` }
  const { tree } = await run(memory, { accounts, idShift: 100_000 })
  expect(nodeAt(memory, tree, 'f')).toMatchObject({ uid: 33, gid: 34, user: 'u33', group: 'g34' })
})

test('device numbers are kept for links only, link counts not for directories and fifos', async () => {
  writeFileSync(join(dir, 'one'), 'x')
  writeFileSync(join(dir, 'two-a'), 'y')
  linkSync(join(dir, 'two-a'), join(dir, 'two-b'))
  makeSpecialFile(join(dir, 'pipe'), 'fifo', 0n)
  mkdirSync(join(dir, 'sub'))
  const memory = createArchiveMemory()
  const { tree, statistics } = await run(memory)
  expect(nodeAt(memory, tree, 'one')).toMatchObject({ links: 1n })
  expect(nodeAt(memory, tree, 'one')).not.toHaveProperty('deviceId')
  const [a, b] = ['two-a', 'two-b'].map((name) => nodeAt(memory, tree, name)!)
  expect(a).toMatchObject({
    links: 2n,
    content: b!.content,
    inode: b!.inode,
    deviceId: b!.deviceId,
  })
  expect(a!.deviceId).toBeGreaterThan(0n)
  for (const name of ['pipe', 'sub']) expect(nodeAt(memory, tree, name)).not.toHaveProperty('links')
  expect(statistics.totalFiles).toBe(3)
})

test('files that did not change are not opened, others are', async () => {
  mkdirSync(join(dir, 'sub'))
  for (const name of ['a', 'b', 'sub/c']) writeFileSync(join(dir, name), `content of ${name}`)
  const memory = createArchiveMemory()
  const first = await run(memory)
  writeFileSync(join(dir, 'sub/c'), 'other content')
  writeFileSync(join(dir, 'new'), 'new')
  const opened: string[] = []
  const open = (path: Buffer, flags: number) => {
    opened.push(path.toString().replace(/.*\//, ''))
    return systemOpen(path, flags)
  }
  const source = createVolumeSource('v', dir, { open })
  const second = await run(memory, { source, parentTree: first.tree })
  expect(opened.sort()).toEqual(['c', 'new'])
  expect(second.statistics).toMatchObject({
    filesNew: 1,
    filesChanged: 1,
    filesUnmodified: 2,
    directoriesNew: 0,
    directoriesChanged: 2,
    directoriesUnmodified: 0,
    dataBlobs: 2,
    totalFiles: 4,
  })
  opened.length = 0
  const third = await run(memory, { source, parentTree: second.tree })
  expect(opened).toEqual([])
  expect(third.tree).toBe(second.tree)
  expect(third.statistics).toMatchObject({
    filesUnmodified: 4,
    directoriesUnmodified: 2,
    dataAdded: 0,
  })
})

test('an unchanged file whose chunks the repository lost is read again', async () => {
  writeFileSync(join(dir, 'a'), 'content')
  const memory = createArchiveMemory()
  const first = await run(memory)
  memory.blobs.clear()
  const second = await run(memory, { parentTree: first.tree })
  expect(second.statistics).toMatchObject({ filesChanged: 1, filesUnmodified: 0 })
  expect(memory.blobs.size).toBe(1)
})

test('a parent whose trees cannot be had means reading everything, not failing', async () => {
  writeFileSync(join(dir, 'a'), 'content')
  const memory = createArchiveMemory()
  const first = await run(memory)
  const second = await run(memory, { parentTree: first.tree, loadTree: async () => undefined })
  expect(second.tree).toBe(first.tree)
  expect(second.statistics.filesNew).toBe(1)
})

test('sockets are left out, vanished files dropped, changing ones told by what the policy says', async () => {
  makeSpecialFile(join(dir, 'socket'), 'socket', 0n)
  writeFileSync(join(dir, 'gone'), 'x')
  // Too large to be read between two looks with nothing in between.
  for (const name of ['changing', 'scratch.tmp'])
    writeFileSync(join(dir, name), Buffer.alloc(99_000))
  let n = 0
  const open = (path: Buffer, flags: number) => {
    if (path.toString().endsWith('gone') && existsSync(join(dir, 'gone')))
      unlinkSync(join(dir, 'gone'))
    return systemOpen(path, flags)
  }
  const memory = createArchiveMemory()
  const writer: ArchiveOptions['writer'] = {
    ...memory.writer,
    saveFile: async (chunks) => {
      const saved = await memory.writer.saveFile(chunks)
      for (const name of ['changing', 'scratch.tmp']) writeFileSync(join(dir, name), String(n++))
      return saved
    },
  }
  const { remarks, warned, tree } = await run(memory, {
    source: createVolumeSource('v', dir, { open }),
    writer,
    isVolatile: createPatternMatcher(['*.tmp']),
  })
  expect(warned).toBe(true)
  expect(
    ['socket', 'vanished', 'changed', 'volatile'].map((w) => remarks.count(w as 'socket')),
  ).toEqual([1, 1, 1, 1])
  expect(remarks.names[0]).toEqual({ what: 'changed', path: Buffer.from('changing') })
  expect(nodeAt(memory, tree, 'gone')).toBeUndefined()
  expect(nodeAt(memory, tree, 'socket')).toBeUndefined()
  expect(nodeAt(memory, tree, 'changing')).toBeDefined()
})

/** Runs this very room in a process that is root without root's right to read everything. */
const bare = `
import { archive } from ${JSON.stringify(new URL('./archive.ts', import.meta.url).href)}
import { decodeTree } from ${JSON.stringify(new URL('../repository/tree.ts', import.meta.url).href)}
import { createVolumeSource } from ${JSON.stringify(new URL('../sources/volume.ts', import.meta.url).href)}
import { systemClock } from ${JSON.stringify(new URL('./system-clock.ts', import.meta.url).href)}
const names = []
const { remarks, warned } = await archive({
  source: createVolumeSource('v', process.argv[1]),
  writer: {
    saveFile: async (chunks) => {
      let size = 0n
      for await (const chunk of chunks) size += BigInt(chunk.length)
      return { content: [], size, added: { blobs: 0, bytes: 0, packedBytes: 0 } }
    },
    saveBlob: async (_type, text) => {
      for (const node of decodeTree(text)) names.push(node.name.toString())
      return { id: '0'.repeat(64), added: { blobs: 0, bytes: 0, packedBytes: 0 } }
    },
    knows: () => false,
  },
  loadTree: async () => undefined,
  accounts: { user() {}, group() {} },
  idShift: 0,
  isVolatile: () => false,
  onProgress() {},
  clock: systemClock,
  signal: new AbortController().signal,
})
const told = remarks.names.map(({ what, path, detail }) => [what, path.toString(), detail])
console.log(JSON.stringify({ warned, told: told.sort(), names: names.sort() }))
`

test('what may not be read is told by its code, and the run goes on', async () => {
  writeFileSync(join(dir, 'readable'), 'x')
  writeFileSync(join(dir, 'secret'), 'x', { mode: 0o600 })
  mkdirSync(join(dir, 'closed'), { mode: 0o700 })
  for (const name of ['secret', 'closed']) chownSync(join(dir, name), 4_242, 4_242)
  const { stdout } = await promisify(execFile)('setpriv', [
    '--bounding-set=-dac_override,-dac_read_search',
    '--inh-caps=-dac_override,-dac_read_search',
    process.execPath,
    '--input-type=module',
    '--eval',
    bare,
    dir,
  ])
  expect(JSON.parse(stdout)).toEqual({
    warned: true,
    told: [
      ['unreadable', 'closed', 'EACCES'],
      ['unreadable', 'secret', 'EACCES'],
    ],
    names: ['readable', 'v', 'volumes'],
  })
})

test('progress only ever grows and ends at the totals', async () => {
  mkdirSync(join(dir, 'sub'))
  for (let i = 0; i < 20; i++) writeFileSync(join(dir, 'sub', `f${i}`), Buffer.alloc(i * 50_000, i))
  const seen: ArchiveProgress[] = []
  await run(createArchiveMemory(), { onProgress: (p) => seen.push({ ...p }) })
  const last = seen.at(-1)!
  expect(last).toMatchObject({ files: 20, directories: 2, bytes: 9_500_000 })
  expect(last.total).toEqual({ files: 20, directories: 2, bytes: 9_500_000 })
  for (let i = 1; i < seen.length; i++) {
    expect(seen[i]!.files).toBeGreaterThanOrEqual(seen[i - 1]!.files)
    expect(seen[i]!.bytes).toBeGreaterThanOrEqual(seen[i - 1]!.bytes)
  }
})

test('cancelling ends the run with its reason and leaves no file open', async () => {
  for (let i = 0; i < 50; i++) writeFileSync(join(dir, `f${i}`), Buffer.alloc(400_000, i))
  const before = readdirSync('/proc/self/fd').length
  const stop = new AbortController()
  const onProgress = ({ files }: ArchiveProgress) => files === 5 && stop.abort(new Error('stop'))
  await expect(run(createArchiveMemory(), { onProgress, signal: stop.signal })).rejects.toThrow(
    'stop',
  )
  expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before)
})

test('a failing writer ends the run with its error and leaves no file open', async () => {
  for (let i = 0; i < 50; i++) {
    mkdirSync(join(dir, `d${i}`))
    writeFileSync(join(dir, `d${i}`, 'f'), Buffer.alloc(400_000, i))
  }
  const before = readdirSync('/proc/self/fd').length
  const memory = createArchiveMemory()
  let saves = 0
  const writer: ArchiveOptions['writer'] = {
    ...memory.writer,
    saveFile: (chunks) =>
      ++saves === 7 ? Promise.reject(new Error('store is gone')) : memory.writer.saveFile(chunks),
  }
  await expect(run(memory, { writer })).rejects.toThrow('store is gone')
  expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before)
})

test('a source that is not there fails with the code of the system', async () => {
  const source = createDirectorySource(join(dir, 'none'))
  await expect(run(createArchiveMemory(), { source })).rejects.toThrow(
    expect.objectContaining({ code: 'ENOENT' }),
  )
})

test('a tree deeper than the longest path is no harder than another', async () => {
  let at = dir
  const home = process.cwd()
  process.chdir(dir)
  try {
    for (let i = 0; i < 250; i++) {
      mkdirSync('level-of-a-long-name')
      process.chdir('level-of-a-long-name')
      at += '/level-of-a-long-name'
    }
    symlinkSync('bottom', 'link')
  } finally {
    process.chdir(home)
  }
  const { statistics } = await run(createArchiveMemory())
  expect(at.length).toBeGreaterThan(4_096)
  expect(statistics.directoriesNew).toBe(251)
})
