// Long because: all of it restores from one repository made by hand, which can hold what no honest writer makes.
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { acl } from '../../test/support/awkward-tree.ts'
import { compareTrees, printDifference } from '../../test/support/compare-trees.ts'
import { setXattr } from '../native/xattrs.ts'
import { RepositoryError } from '../repository/errors.ts'
import { idOf } from '../repository/id.ts'
import { goMode } from '../repository/mode.ts'
import type { Span, TakeBlob } from '../repository/reader.ts'
import type { TreeNode } from '../repository/tree.ts'
import { nextTurn } from '../repository/turn.ts'
import type { RestoreOptions } from './restore-contract.ts'
import { restoreTree } from './restore-tree.ts'

let base: string
let target: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-restore-'))
  target = join(base, 'target')
  mkdirSync(target)
})
afterEach(() => rmSync(base, { recursive: true }))

/** A repository made by hand, so that it can hold what no honest writer makes. */
function createStock() {
  const trees = new Map<string, TreeNode[]>()
  const blobs = new Map<string, Buffer>()
  const lost = new Set<string>()
  let end = 0
  const offsets = new Map<string, number>()
  let fetches = 0
  return {
    get fetches() {
      return fetches
    },
    tree(nodes: TreeNode[]): string {
      const id = idOf(Buffer.from(`tree ${trees.size}`))
      trees.set(id, nodes)
      return id
    },
    blob(content: string | Buffer): string {
      const bytes = Buffer.from(content)
      const id = idOf(bytes)
      if (blobs.has(id)) return id
      blobs.set(id, bytes)
      offsets.set(id, end)
      end += bytes.length + 32
      return id
    },
    reader: {
      loadTree: async (id: string) => trees.get(id) ?? [],
      async readSpan(span: Span, take: TakeBlob) {
        await nextTurn()
        for (const place of span.blobs) {
          fetches++
          await take(place, lost.has(place.id) ? undefined : Buffer.from(blobs.get(place.id)!))
        }
      },
    },
    /** Blobs that no pack holds whole any more. */
    lost,
    index: {
      find: (type: 'data' | 'tree', id: string) => {
        const bytes = blobs.get(id)
        const place = { pack: 'p', offset: offsets.get(id) ?? 0, uncompressedLength: 0 }
        return bytes && { id, type, length: bytes.length + 32, ...place }
      },
    },
  }
}

type Stock = ReturnType<typeof createStock>

const times = { mtime: 1_000_000_000n, atime: 1_000_000_000n, ctime: 0n }
const common = { ...times, uid: 0, gid: 0 }

function file(stock: Stock, name: string | Buffer, content: string | Buffer, more = {}): TreeNode {
  const size = BigInt(Buffer.from(content).length)
  const chunks = size > 0n ? [stock.blob(content)] : []
  return {
    name: Buffer.from(name),
    type: 'file',
    mode: 0o644,
    ...common,
    size,
    links: 1n,
    content: chunks,
    ...more,
  }
}

function directory(stock: Stock, name: string, nodes: TreeNode[], more = {}): TreeNode {
  const subtree = stock.tree(nodes)
  return {
    name: Buffer.from(name),
    type: 'dir',
    mode: goMode(0o040_755),
    ...common,
    subtree,
    ...more,
  }
}

function symlink(name: string, to: string): TreeNode {
  return {
    name: Buffer.from(name),
    type: 'symlink',
    mode: goMode(0o120_777),
    ...common,
    links: 1n,
    linkTarget: Buffer.from(to),
  }
}

function restore(stock: Stock, nodes: TreeNode[], more: Partial<RestoreOptions> = {}) {
  const tree = stock.tree([directory(stock, 'root', nodes)])
  return restoreTree({
    tree,
    path: [Buffer.from('root')],
    target,
    only: [],
    resume: false,
    reader: stock.reader,
    index: stock.index,
    idShift: 0,
    onProgress: () => {},
    signal: new AbortController().signal,
    ...more,
  })
}

test.each(['..', '.', '', 'a/b', '../escape', '/etc/x', 'nul\0'])(
  'a node named %j is refused before anything is written, however deep it lies',
  async (name) => {
    const stock = createStock()
    const evil = directory(stock, 'deep', [directory(stock, 'deeper', [file(stock, name, 'evil')])])
    await expect(restore(stock, [file(stock, 'harmless', 'x'), evil])).rejects.toThrow(
      expect.objectContaining({ code: 'illegal-name' }),
    )
    expect(readdirSync(target)).toEqual([])
    expect(readdirSync(base)).toEqual(['target'])
  },
)

test('a symlink of the snapshot does not become the way of a directory of the same name', async () => {
  const stock = createStock()
  mkdirSync(join(base, 'outside'))
  const nodes = [symlink('d', '../outside'), directory(stock, 'd', [file(stock, 'f', 'evil')])]
  await expect(restore(stock, nodes)).rejects.toThrow(expect.objectContaining({ code: 'damaged' }))
  expect(readdirSync(join(base, 'outside'))).toEqual([])
})

test.each(['dir', 'file', 'link'] as const)(
  'a symlink planted in the target under the name of a %s does not redirect a resumed restore',
  async (kind) => {
    const stock = createStock()
    mkdirSync(join(base, 'outside'))
    writeFileSync(join(base, 'outside', 'f'), 'precious')
    const nodes =
      kind === 'dir'
        ? [directory(stock, 'x', [file(stock, 'f', 'restored')])]
        : kind === 'file'
          ? [file(stock, 'x', 'restored')]
          : [symlink('x', 'elsewhere')]
    symlinkSync(kind === 'dir' ? '../outside' : '../outside/f', join(target, 'x'))
    const outcome = restore(stock, nodes, { resume: true })
    if (kind === 'dir') await expect(outcome).rejects.toThrow()
    else await outcome
    expect(readFileSync(join(base, 'outside', 'f'), 'utf8')).toBe('precious')
    if (kind === 'file') expect(lstatSync(join(target, 'x')).isFile()).toBe(true)
  },
)

test('a directory swapped for a symlink in the middle of a restore does not redirect it', async () => {
  const stock = createStock()
  mkdirSync(join(base, 'outside'))
  const nodes = [directory(stock, 'd', [file(stock, 'f', 'restored')])]
  const read = stock.reader.readSpan
  stock.reader.readSpan = (span, take) => {
    renameSync(join(target, 'd'), join(base, 'moved'))
    symlinkSync('../outside', join(target, 'd'))
    return read(span, take)
  }
  await restore(stock, nodes).catch(() => {})
  expect(readdirSync(join(base, 'outside'))).toEqual([])
})

test('a hard link planted under the name of a file is cut, not written through', async () => {
  const stock = createStock()
  writeFileSync(join(base, 'precious'), 'precious')
  linkSync(join(base, 'precious'), join(target, 'x'))
  await restore(stock, [file(stock, 'x', 'restored')], { resume: true })
  expect(readFileSync(join(base, 'precious'), 'utf8')).toBe('precious')
  expect(readFileSync(join(target, 'x'), 'utf8')).toBe('restored')
})

test('a target that is not empty, or a symlink, is refused', async () => {
  const stock = createStock()
  writeFileSync(join(target, 'mine'), 'x')
  await expect(restore(stock, [])).rejects.toThrow(
    expect.objectContaining({ code: 'already-exists' }),
  )
  symlinkSync('target', join(base, 'link'))
  await expect(restore(stock, [], { target: join(base, 'link') })).rejects.toThrow(
    expect.objectContaining({ code: 'ENOTDIR' }),
  )
})

test('names of one inode are links of one another, and stay apart where their content differs', async () => {
  const stock = createStock()
  const link = { links: 3n, inode: 7n, deviceId: 1n }
  await restore(stock, [
    file(stock, 'a', 'same', link),
    directory(stock, 'd', [file(stock, 'b', 'same', link)]),
    file(stock, 'z', 'other', link),
  ])
  const inode = (path: string) => lstatSync(join(target, path)).ino
  expect(inode('a')).toBe(inode('d/b'))
  expect(inode('z')).not.toBe(inode('a'))
  expect(readFileSync(join(target, 'z'), 'utf8')).toBe('other')
})

test('zeros become holes, and one chunk that many files share is fetched once', async () => {
  const stock = createStock()
  const zeros = file(stock, 'zeros', Buffer.alloc(512 << 10))
  const many = Array.from({ length: 30 }, (_, i) =>
    file(stock, `f${String(i).padStart(2, '0')}`, 'same'),
  )
  const chunk = zeros.content![0]!
  const large = {
    ...zeros,
    name: Buffer.from('zz'),
    content: Array(64).fill(chunk),
    size: 32n << 20n,
  }
  const restored = await restore(stock, [...many, zeros, large])
  expect(stock.fetches).toBe(1)
  expect(restored.bytesFetched).toBe(4)
  expect(lstatSync(join(target, 'zz'))).toMatchObject({ size: 32 << 20, blocks: 0 })
  expect(readFileSync(join(target, 'zz')).equals(Buffer.alloc(32 << 20))).toBe(true)
})

test('only the paths that were asked for are restored, with the metadata of the way to them', async () => {
  const stock = createStock()
  const nodes = [
    directory(stock, 'a', [file(stock, 'no', 'x'), file(stock, 'yes', 'y')], {
      mode: goMode(0o040_700),
    }),
    directory(stock, 'b', [file(stock, 'f', 'z')]),
    file(stock, 'c', 'c'),
  ]
  const only = [Buffer.from('a/yes'), Buffer.from('c')]
  const { extent } = await restore(stock, nodes, { only })
  expect(readdirSync(target, { recursive: true }).sort()).toEqual(['a', 'a/yes', 'c'])
  expect(lstatSync(join(target, 'a')).mode & 0o777).toBe(0o700)
  expect(extent).toEqual({ files: 2, directories: 2, others: 0, bytes: 2 })
})

test.each(['a/missing', 'c/below-a-file', 'nothing'])(
  'a path that is not in the snapshot (%s) is refused before anything is written',
  async (path) => {
    const stock = createStock()
    const nodes = [directory(stock, 'a', [file(stock, 'x', 'x')]), file(stock, 'c', 'c')]
    const only = [Buffer.from('a/x'), Buffer.from(path)]
    await expect(restore(stock, nodes, { only })).rejects.toThrow(
      expect.objectContaining({ code: 'not-found' }),
    )
    expect(readdirSync(target)).toEqual([])
  },
)

test('what the repository no longer holds whole is named, and all else is restored', async () => {
  const stock = createStock()
  const halves = [Buffer.alloc(100_000, 'a'), Buffer.alloc(100_000, 'b')]
  const half = { content: halves.map((bytes) => stock.blob(bytes)), size: 200_000n }
  stock.lost.add(half.content[1]!)
  const gone = directory(stock, 'gone', [file(stock, 'unknown', 'u')])
  const load = stock.reader.loadTree
  stock.reader.loadTree = async (id) => {
    if (id === gone.subtree) throw new RepositoryError('damaged', 'tree')
    return load(id)
  }
  const { damaged, remarks, extent } = await restore(stock, [
    file(stock, 'a', 'whole'),
    gone,
    file(stock, 'half', '', half),
    file(stock, 'unlisted', 'x', { content: ['0'.repeat(64)] }),
    file(stock, 'z', 'whole too'),
  ])
  expect(damaged).toBe(3)
  expect(extent).toMatchObject({ files: 2, directories: 2 })
  expect(remarks.names.map(({ what, path }) => `${what} ${path}`).sort()).toEqual([
    'content-damaged half',
    'content-damaged unlisted',
    'tree-damaged gone',
  ])
  expect(readdirSync(target).sort()).toEqual(['a', 'gone', 'half', 'z'])
  expect(readFileSync(join(target, 'z'), 'utf8')).toBe('whole too')
  // What is there of it is kept, and nobody takes it for the whole file.
  expect(
    readFileSync(join(target, 'half')).equals(Buffer.concat([halves[0]!, Buffer.alloc(100_000)])),
  ).toBe(true)
  expect(lstatSync(join(target, 'half')).mode & 0o777).toBe(0o600)
})

test('attributes that the target gave by itself are removed', async () => {
  const stock = createStock()
  const entries = acl([
    [0x01, 7, -1],
    [0x02, 7, 1_234],
    [0x04, 5, -1],
    [0x10, 7, -1],
    [0x20, 5, -1],
  ])
  setXattr(target, 'system.posix_acl_default', entries)
  const mine = [{ name: Buffer.from('user.mine'), value: Buffer.from('v') }]
  await restore(stock, [
    file(stock, 'f', 'x', { mode: 0o640, extendedAttributes: mine }),
    directory(stock, 'd', []),
  ])
  const again = join(base, 'expected')
  mkdirSync(join(again, 'd'), { recursive: true })
  writeFileSync(join(again, 'f'), 'x')
  chmodSync(join(again, 'f'), 0o640)
  setXattr(join(again, 'f'), 'user.mine', Buffer.from('v'))
  const { differences } = compareTrees(again, target, { ignore: ['mtime'] })
  expect(differences.map(printDifference)).toEqual([])
})

test('what the target refuses is a warning that names it, and the rest is restored', async () => {
  const stock = createStock()
  const odd = [{ name: Buffer.from('nonsense.name'), value: Buffer.from('v') }]
  const { warned, remarks } = await restore(
    stock,
    [
      file(stock, 'f', 'content', { extendedAttributes: odd }),
      file(stock, 'g', 'g', { uid: 70_000 }),
    ],
    { idShift: 100_000 },
  )
  expect(warned).toBe(true)
  expect(remarks.names).toEqual([
    { what: 'attribute-refused', path: Buffer.from('f'), detail: 'nonsense.name' },
    { what: 'owner-refused', path: Buffer.from('g'), detail: '70000:0' },
  ])
  expect(readFileSync(join(target, 'f'), 'utf8')).toBe('content')
  expect(lstatSync(join(target, 'f')).uid).toBe(100_000)
})

test('a cancelled restore stops, and a resumed one fetches only what is missing', async () => {
  const stock = createStock()
  const nodes = Array.from({ length: 40 }, (_, i) =>
    file(stock, `f${String(i).padStart(2, '0')}`, `content ${i} `.repeat(1_000)),
  )
  const stop = new AbortController()
  const onProgress = ({ files }: { files: number }) => files >= 20 && stop.abort(new Error('stop'))
  await expect(restore(stock, nodes, { onProgress, signal: stop.signal })).rejects.toThrow('stop')
  const before = stock.fetches
  expect(before).toBeLessThan(40)
  const { extent } = await restore(stock, nodes, { resume: true })
  expect(extent.files).toBe(40)
  expect(stock.fetches - before).toBeLessThanOrEqual(40 - 20 + 1)
  for (let i = 0; i < 40; i++) {
    const path = join(target, `f${String(i).padStart(2, '0')}`)
    expect(readFileSync(path, 'utf8')).toBe(`content ${i} `.repeat(1_000))
  }
})

test('content that an earlier attempt left wrong, short or too long is put right', async () => {
  const stock = createStock()
  const content = Buffer.alloc(300_000, 'c')
  for (const [name, left] of [
    ['right', content],
    ['wrong', Buffer.alloc(300_000, 'w')],
    ['short', content.subarray(0, 1_000)],
    ['long', Buffer.alloc(400_000, 'c')],
  ] as const) {
    writeFileSync(join(target, name), left)
  }
  const holes = Buffer.concat([Buffer.alloc(200_000), Buffer.from('end')])
  writeFileSync(join(target, 'holes'), Buffer.alloc(200_003, 'x'))
  const names = ['holes', 'long', 'right', 'short', 'wrong']
  const nodes = names.map((name) => file(stock, name, name === 'holes' ? holes : content))
  await restore(stock, nodes, { resume: true })
  for (const name of names) {
    const expected = name === 'holes' ? holes : content
    expect(readFileSync(join(target, name)).equals(expected)).toBe(true)
  }
})

test('no descriptor stays open, whether it went well or not', async () => {
  const before = readdirSync('/proc/self/fd').length
  const stock = createStock()
  const nodes = Array.from({ length: 200 }, (_, i) =>
    directory(stock, `d${String(i).padStart(3, '0')}`, [file(stock, 'f', `x${i}`)]),
  )
  await restore(stock, nodes)
  expect(readdirSync('/proc/self/fd').length).toBe(before)
  rmSync(target, { recursive: true })
  mkdirSync(target)
  stock.reader.readSpan = () => Promise.reject(new Error('store is gone'))
  await expect(restore(stock, nodes)).rejects.toThrow('store is gone')
  expect(readdirSync('/proc/self/fd').length).toBe(before)
})

test('a disk that gives back other bytes than it was given fails a restore that verifies', async () => {
  const stock = createStock()
  const nodes = [directory(stock, 'd', [file(stock, 'f', 'what the snapshot holds')])]
  await restore(stock, nodes, { verify: true })
  rmSync(target, { recursive: true })
  mkdirSync(target)
  const read = stock.reader.readSpan
  // The memory it was written from changes after it was checked.
  stock.reader.readSpan = (span, take) =>
    read(span, (place, bytes) => {
      bytes![0]! ^= 1
      return take(place, bytes)
    })
  await restore(stock, nodes)
  rmSync(target, { recursive: true })
  mkdirSync(target)
  await expect(restore(stock, nodes, { verify: true })).rejects.toThrow('reads back with other')
})
