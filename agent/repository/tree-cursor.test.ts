import { describe, expect, test } from 'vitest'
import { createSeeded, type Seeded } from '../../test/support/seeded.ts'
import { parseExact } from './go-json.ts'
import { systemRandom } from './id.ts'
import { goMode } from './mode.ts'
import { decodeNode, encodeNode, encodeTree, isLegalName, type TreeNode } from './tree.ts'
import { TreeCursor } from './tree-cursor.ts'

const seed = systemRandom(8).toString('hex')

const letters = ['a', 'B', '~', ' ', '"', '\\', '<', '&', 'é', '\n', '\x7f', '\u2028', '\u{1f600}']

function randomName(random: Seeded): Buffer {
  const name = rawName(random)
  return isLegalName(name) ? name : Buffer.from('x')
}

function rawName(random: Seeded): Buffer {
  if (random.oneIn(6)) return random.bytes(random.between(1, 9))
  const plain = random.oneIn(2)
  const text = Array.from({ length: random.between(1, 12) }, () =>
    plain ? random.pick(['a', 'b', '7', '.', '-']) : random.pick(letters),
  )
  return Buffer.from(text.join(''))
}

function randomTime(random: Seeded): bigint {
  const seconds = random.pick([0, -1, 1_709_164_800, 951_782_400, -2_203_891_200, 4_107_542_399])
  const far = random.oneIn(3) ? random.between(0, 2 ** 32 - 1) : seconds
  const nanoseconds = random.pick([0, 1, 10, 120_000_000, random.between(0, 999_999_999)])
  return BigInt(far) * 1_000_000_000n + BigInt(nanoseconds)
}

function randomNode(random: Seeded, name: Buffer): TreeNode {
  const mtime = randomTime(random)
  const common = {
    name,
    mode: goMode(random.pick([0o100644, 0o104755, 0o100000])),
    mtime,
    atime: random.oneIn(9) ? randomTime(random) : mtime,
    ctime: randomTime(random),
    uid: random.pick([0, 1000, 4_294_967_295]),
    gid: random.between(0, 9),
    ...(random.oneIn(3) && { user: random.pick(['root', 'ü', 'a"b']), group: 'staff' }),
    inode: random.pick([1n, 2n ** 40n, 2n ** 64n - 1n, BigInt(random.between(1, 2 ** 32 - 1))]),
  }
  if (random.oneIn(8)) return { ...common, type: 'dir', subtree: random.bytes(32).toString('hex') }
  if (random.oneIn(8))
    return { ...common, type: 'symlink', links: 1n, linkTarget: Buffer.from('a]}"') }
  const content = Array.from({ length: random.between(0, 3) }, () =>
    random.bytes(32).toString('hex'),
  )
  return {
    ...common,
    type: 'file',
    size: BigInt(random.between(0, 2 ** 32 - 1)),
    links: random.oneIn(9) ? 2n : 1n,
    ...(random.oneIn(9) && { deviceId: 2049n }),
    ...(random.oneIn(9) && {
      extendedAttributes: [{ name: Buffer.from('user.a'), value: Buffer.from('b') }],
    }),
    content,
  }
}

function randomTree(random: Seeded, count: number): TreeNode[] {
  const names = new Map<string, Buffer>()
  while (names.size < count) {
    const name = randomName(random)
    names.set(name.toString('latin1'), name)
  }
  return [...names.keys()].sort().map((key) => randomNode(random, names.get(key)!))
}

function at(cursor: TreeCursor): string {
  return cursor.text.toString('utf8', cursor.start, cursor.end)
}

describe('a cursor over a tree', () => {
  test('finds each node by its name, and none by another', () => {
    const random = createSeeded(`find ${seed}`)
    let plain = 0
    for (let round = 0; round < 100; round++) {
      const nodes = randomTree(random, random.between(0, 30))
      const cursor = new TreeCursor(encodeTree(nodes))
      const held = new Map(nodes.map((node) => [node.name.toString('latin1'), node]))
      const strangers = Array.from({ length: 20 }, () => randomName(random).toString('latin1'))
      for (const name of [...new Set([...held.keys(), ...strangers])].sort()) {
        const node = held.get(name)
        if (node !== undefined && random.oneIn(5)) continue // passed over by whoever asks
        expect(cursor.seek(name), `seed ${seed}`).toBe(node !== undefined)
        if (node === undefined) continue
        expect(at(cursor), `seed ${seed}`).toBe(encodeNode(node))
        if (cursor.plain) plain += comparePlain(cursor, node)
      }
      expect(cursor.lost, `seed ${seed}`).toBe(false)
    }
    expect(plain, `seed ${seed}`).toBeGreaterThan(20)
  })

  function comparePlain(cursor: TreeCursor, node: TreeNode): number {
    const time = (seconds: number, nanoseconds: number) =>
      BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
    expect(time(cursor.modifiedSeconds, cursor.modifiedNanoseconds)).toBe(node.mtime)
    expect(time(cursor.changedSeconds, cursor.changedNanoseconds)).toBe(node.ctime)
    expect(node).toMatchObject({ type: 'file', links: 1n, atime: node.mtime })
    const { mode, uid, gid } = node
    expect(cursor).toMatchObject({ mode, uid, gid, size: Number(node.size) })
    const inode = node.inode!
    expect(cursor.inodeIs(Number(inode >> 32n), Number(inode & 0xffff_ffffn))).toBe(true)
    expect(cursor.inodeIs(Number(inode >> 32n), Number((inode + 1n) & 0xffff_ffffn))).toBe(false)
    const chunks: string[] = []
    expect(cursor.everyChunk((id) => chunks.push(id) > 0)).toBe(true)
    expect(chunks).toEqual(node.content)
    if (chunks.length > 0) expect(cursor.everyChunk(() => false)).toBe(false)
    const accounts = node.user === undefined ? '' : `,"user":"${node.user}","group":"staff"`
    expect(cursor.accountsAre(Buffer.from(accounts))).toBe(true)
    expect(cursor.accountsAre(Buffer.from(`${accounts},"group":"x"`))).toBe(false)
    return 1
  }

  test('calls a node plain only if it would be written again letter for letter', () => {
    const random = createSeeded(`plain ${seed}`)
    let plain = 0
    for (let round = 0; round < 4_000; round++) {
      const text = Buffer.from(encodeTree(randomTree(random, 3)))
      const change = random.between(0, text.length - 1)
      const damaged = random.oneIn(2)
        ? Buffer.concat([text.subarray(0, change), text.subarray(change + 1)])
        : text
      damaged[change % damaged.length] = random.pick(
        [...'0 "9aTZ.:-,{}[]\\x'].map((c) => c.charCodeAt(0)),
      )
      const cursor = new TreeCursor(damaged)
      // Whatever is there, the cursor ends; 0xff is beyond all names.
      cursor.seek('\xff\xff\xff')
      const again = new TreeCursor(damaged)
      for (const first of ' !"#$%&\'()*+,-.0123456789:;<=>?@ABCabcxyz~\x7f\xc3\xff') {
        again.seek(first)
        if (!again.plain || again.end === 0) continue
        plain++
        const part = damaged.subarray(again.start, again.end)
        const node = decodeNode(parseExact(part, 'a node'))
        expect(encodeNode(node), `seed ${seed}`).toBe(part.toString())
      }
    }
    expect(plain).toBeGreaterThan(1_000)
  })

  test('sees the end of a tree, and that something follows', () => {
    const nodes = randomTree(createSeeded('end'), 3)
    const text = encodeTree(nodes)
    const cursor = new TreeCursor(text)
    for (const node of nodes) cursor.seek(node.name.toString('latin1'))
    expect(cursor.isLastEnd(cursor.end)).toBe(true)
    expect(new TreeCursor(Buffer.concat([text, text])).isLastEnd(cursor.end)).toBe(false)
    expect(new TreeCursor(encodeTree([])).isLastEnd(0)).toBe(true)
  })

  test.each([
    ['spaces', '{"nodes": []}\n'],
    ['other fields first', '{"a":1,"nodes":[]}\n'],
    ['nothing', ''],
    ['another order of fields', '{"nodes":[{"type":"file","name":"a"}]}\n'],
    ['names out of order', '{"nodes":[{"name":"b","type":"fifo"},{"name":"a","type":"fifo"}]}\n'],
    ['a name twice', '{"nodes":[{"name":"a","type":"fifo"},{"name":"a","type":"fifo"}]}\n'],
    ['a node without an end', '{"nodes":[{"name":"a","type":"fi'],
    ['a name that is not quoted', '{"nodes":[{"name":"a\\\\q","type":"fifo"}]}\n'],
  ])('is lost in a tree with %s', (_, text) => {
    const cursor = new TreeCursor(Buffer.from(text))
    expect(cursor.seek('zz')).toBe(false)
    expect(cursor.lost).toBe(true)
  })
})
