// Small plain files, which an archive takes without describing them first.
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ArchiveMemory, createArchiveMemory } from '../../test/support/archive-memory.ts'
import { makeSpecialFile } from '../native/special-file.ts'
import { idOf } from '../repository/id.ts'
import type { TreeNode } from '../repository/tree.ts'
import { systemOpen } from '../sources/file-content.ts'
import { createVolumeSource } from '../sources/volume.ts'
import { noAccounts } from './accounts.ts'
import { archive } from './archive.ts'
import type { ArchiveOptions } from './archive-contract.ts'
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

/** A minute from now: no file counts as changed a moment ago, which would have it read with patience. */
const later = { ...systemClock, now: () => systemClock.now() + 60_000 }

test('small files are stored as they are, whatever they are called, and equal to how a patient read stores them', async () => {
  const names = ['a', 'b"c', 'd\\e', '<f>', '\u00e9', '\u{1f600}', ' ', '...', '\x7f'].map((n) =>
    Buffer.from(n),
  )
  names.push(Buffer.from([0xff, 0x41]))
  for (const [i, name] of names.entries()) {
    const path = Buffer.concat([Buffer.from(`${dir}/`), name])
    writeFileSync(path, Buffer.alloc(i * 1_000, i))
    chmodSync(path, i === 3 ? 0 : 0o4755)
    chownSync(path, i, 4_000_000_000)
  }
  const accounts = { user: (id: number) => `u${id}&`, group: () => undefined }
  const quick = createArchiveMemory()
  const patient = createArchiveMemory()
  const one = await run(quick, { accounts, clock: later })
  const other = await run(patient, { accounts, clock: { ...later, now: () => systemClock.now() } })
  expect(one.tree).toBe(other.tree)
  expect(quick.blobs.size).toBe(9)
  expect(one.statistics).toEqual(other.statistics)
})

test.each([
  ['gone', 'vanished', (path: string) => unlinkSync(path)],
  [
    'another file',
    undefined,
    (path: string) => {
      writeFileSync(`${path}-`, 'other')
      renameSync(`${path}-`, path)
    },
  ],
  ['written to', undefined, (path: string) => writeFileSync(path, 'other')],
  [
    'a symlink',
    undefined,
    (path: string) => {
      unlinkSync(path)
      symlinkSync('/etc/passwd', path)
    },
  ],
  [
    'a socket',
    'socket',
    (path: string) => {
      unlinkSync(path)
      makeSpecialFile(path, 'socket', 0n)
    },
  ],
  [
    'a directory',
    'unreadable',
    (path: string) => {
      unlinkSync(path)
      mkdirSync(path)
    },
  ],
])(
  'a small file that is %s when it is opened is taken as what it is',
  async (_, remark, change) => {
    for (const name of ['a', 'f', 'z']) writeFileSync(join(dir, name), name)
    let changed = false
    const open = (path: Buffer, flags: number) => {
      if (!changed && path.toString().endsWith('/f')) {
        changed = true
        change(join(dir, 'f'))
      }
      return systemOpen(path, flags)
    }
    const memory = createArchiveMemory()
    const source = createVolumeSource('v', dir, { open })
    const { remarks, tree } = await run(memory, { source, clock: later })
    const told = remarks.names.map(({ what, path }) => [what, path.toString()])
    const counted = (['vanished', 'socket', 'unreadable'] as const).filter(
      (w) => remarks.count(w) > 0,
    )
    expect(counted).toEqual(remark === undefined ? [] : [remark])
    expect(told.every(([, path]) => path === 'f')).toBe(true)
    const node = nodeAt(memory, tree, 'f')
    const stat = lstatSync(join(dir, 'f'), { bigint: true, throwIfNoEntry: false })
    if (stat?.isFile())
      expect(node).toMatchObject({
        type: 'file',
        inode: stat.ino,
        content: [idOf(Buffer.from('other'))],
      })
    else if (stat?.isSymbolicLink()) expect(node).toMatchObject({ type: 'symlink' })
    else expect(node).toBeUndefined()
    expect([nodeAt(memory, tree, 'a'), nodeAt(memory, tree, 'z')]).not.toContain(undefined)
  },
)
