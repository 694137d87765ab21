import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { idOf } from './id.ts'
import { goMode, nodeType, permissionBits } from './mode.ts'
import {
  compareNodes,
  decodeTree,
  encodeTree,
  isLegalName,
  type TreeNode,
  treeFaults,
} from './tree.ts'

const time = 1_700_000_000_000_000_000n
const content = ['ab'.repeat(32)]

function file(name: string | Buffer, more: Partial<TreeNode> = {}): TreeNode {
  const bytes = typeof name === 'string' ? Buffer.from(name) : name
  const times = { mtime: time, atime: time, ctime: time }
  return { name: bytes, type: 'file', mode: 420, ...times, uid: 0, gid: 0, content, ...more }
}

describe('encoding trees', () => {
  test('the golden node comes out with its known id', () => {
    const node = file(Buffer.from('6122625c630aff', 'hex'), {
      mode: goMode(0o104755),
      mtime: time + 100_000_000n,
      atime: time + 100_000_000n,
      gid: 33,
      user: 'root',
      group: 'www-data',
      inode: 2n ** 64n - 1n,
      deviceId: 65024n,
      size: 6n,
      links: 2n,
      extendedAttributes: [{ name: Buffer.from('user.k'), value: Buffer.from('v') }],
    })
    const tree = encodeTree([node])
    expect(tree.toString()).toBe(
      `{"nodes":[{"name":"a\\\\\\"b\\\\\\\\c\\\\n\\\\xff","type":"file","mode":8389101,"mtime":"2023-11-14T22:13:20.1Z","atime":"2023-11-14T22:13:20.1Z","ctime":"2023-11-14T22:13:20Z","uid":0,"gid":33,"user":"root","group":"www-data","inode":18446744073709551615,"device_id":65024,"size":6,"links":2,"extended_attributes":[{"name":"user.k","value":"dg=="}],"content":["${content[0]}"]}]}\n`,
    )
    expect(idOf(tree)).toBe('afa107cf616cc30151b7c84d9c9b8d8adcf0263edddd3b19c071cbb08a02ebac')
    expect(decodeTree(tree)).toEqual([node])
  })

  test('an empty directory has its known id', () => {
    const tree = encodeTree([])
    expect(tree.toString()).toBe('{"nodes":[]}\n')
    expect(idOf(tree)).toBe('ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8')
  })

  test('a symlink whose target is not UTF-8 keeps the raw target beside the lossy one', () => {
    const linkTarget = Buffer.from('ok\xff', 'latin1')
    const { content: _, ...rest } = file('l', { type: 'symlink', linkTarget })
    const text = encodeTree([rest]).toString()
    expect(text).toContain('"linktarget":"ok\\ufffd","linktarget_raw":"b2v/"')
    expect(text).toContain('"content":null')
    expect(decodeTree(Buffer.from(text))[0]!.linkTarget?.equals(linkTarget)).toBe(true)
  })

  test('an empty attribute value is "" and an empty file has []', () => {
    const attributes = [{ name: Buffer.from('user.e'), value: Buffer.alloc(0) }]
    const text = encodeTree([file('e', { content: [], extendedAttributes: attributes })]).toString()
    expect(text).toContain('{"name":"user.e","value":""}')
    expect(text).toContain('"content":[]')
  })

  test('refuses names that lead elsewhere, wrong order, and nodes that cannot be restored', () => {
    for (const name of ['', '.', '..', 'a/b', '/', 'a\0']) {
      expect(isLegalName(Buffer.from(name))).toBe(false)
      expect(() => encodeTree([file(name)])).toThrow(
        expect.objectContaining({ code: 'illegal-name' }),
      )
    }
    for (const name of ['...', '..a', '.a', ' ', '\n'])
      expect(isLegalName(Buffer.from(name))).toBe(true)
    const invalid = expect.objectContaining({ code: 'invalid-input' })
    expect(() => encodeTree([file('b'), file('a')])).toThrow(invalid)
    expect(() => encodeTree([file('a'), file('a')])).toThrow(invalid)
    const { content: _, ...bare } = file('a')
    expect(() => encodeTree([bare])).toThrow(invalid)
    expect(() => encodeTree([file('a', { content: ['zz'] })])).toThrow(invalid)
    expect(() => encodeTree([{ ...bare, type: 'dir' }])).toThrow(invalid)
  })

  test('orders by bytes, not by UTF-16 units', () => {
    const emoji = file(Buffer.from('😀')) // f0 9f …, but a surrogate, d83d, in UTF-16
    const privateUse = file(Buffer.from('\ue000')) // ee 80 80
    expect([emoji, privateUse].sort(compareNodes)).toEqual([privateUse, emoji])
  })

  test('a directory too large for one string piece is joined without a seam', () => {
    const nodes = Array.from({ length: 20_000 }, (_, i) => file(`n${String(i).padStart(6, '0')}`))
    const tree = encodeTree(nodes)
    expect(tree.length).toBeGreaterThan(4_000_000)
    expect(JSON.parse(tree.toString()).nodes.length).toBe(20_000)
  })
})

const nodeArbitrary: fc.Arbitrary<TreeNode> = fc
  .record({
    name: fc.uint8Array({ minLength: 1, maxLength: 20 }).map((b) => Buffer.from(b)),
    type: fc.constantFrom<TreeNode['type'][]>('file', 'dir', 'symlink', 'dev', 'chardev', 'fifo'),
    mode: fc.nat(0o7777),
    mtime: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
    ctime: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
    uid: fc.nat(2 ** 32 - 1),
    gid: fc.nat(2 ** 32 - 1),
    user: fc.string({ unit: 'grapheme' }),
    group: fc.string(),
    inode: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    deviceId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    size: fc.bigInt({ min: 0n, max: 2n ** 63n }),
    links: fc.bigInt({ min: 0n, max: 2n ** 32n }),
    device: fc.bigInt({ min: 0n, max: 2n ** 40n }),
    target: fc.uint8Array({ maxLength: 30 }).map((b) => Buffer.from(b)),
    attributes: fc.array(
      fc.record({
        name: fc.string({ minLength: 1, unit: 'grapheme' }).map((s) => Buffer.from(s)),
        value: fc.uint8Array({ maxLength: 20 }).map((b) => Buffer.from(b)),
      }),
      { maxLength: 3 },
    ),
  })
  .filter(({ name }) => isLegalName(name))
  .map((r): TreeNode => {
    const { target, attributes, user, group, inode, deviceId, size, links, device, ...base } = r
    return {
      ...base,
      atime: r.mtime,
      ...(user && { user }),
      ...(group && { group }),
      ...(inode && { inode }),
      ...(deviceId && { deviceId }),
      ...(size && { size }),
      ...(links && { links }),
      ...(device && { device }),
      ...(r.type === 'symlink' && target.length > 0 && { linkTarget: target }),
      ...(attributes.length > 0 && { extendedAttributes: attributes }),
      ...(r.type === 'file' && { content }),
      ...(r.type === 'dir' && { subtree: content[0]! }),
    }
  })

test('any tree decodes to the nodes it was made of and encodes to the same bytes again', () => {
  fc.assert(
    fc.property(fc.array(nodeArbitrary, { maxLength: 8 }), (made) => {
      const byName = new Map(made.map((node) => [node.name.toString('latin1'), node]))
      const nodes = [...byName.values()].sort(compareNodes)
      const tree = encodeTree(nodes)
      const decoded = decodeTree(tree)
      expect(decoded).toEqual(nodes)
      expect(encodeTree(decoded).equals(tree)).toBe(true)
      expect(treeFaults(decoded)).toEqual([])
    }),
    { numRuns: 500 },
  )
})

describe('decoding foreign trees', () => {
  const decode = (text: string) => decodeTree(Buffer.from(text))

  test('takes what stock restic takes: other case and order, zones, unknown fields, missing fields', () => {
    const [node] = decode(
      '{ "x": 1, "nodes": [ { "NAME": "a", "surprise": {}, "Type": "file", "mtime": "2023-11-14T23:13:20+01:00", "content": [] } ] }',
    )
    expect(node?.name.toString()).toBe('a')
    expect(node?.mtime).toBe(time)
    expect(node?.mode).toBe(0)
    expect(node?.uid).toBe(0)
  })

  test('keeps numbers beyond 2^53 exact even in pretty-printed text', () => {
    const [node] = decode(
      '{"nodes":[{"name":"a","type":"file","inode": 9007199254740993,"content":[]}]}',
    )
    expect(node?.inode).toBe(9007199254740993n)
  })

  test('refuses what stock restic cannot read', () => {
    const bad = [
      '',
      'null',
      '[]',
      '{}',
      '{"nodes":null}',
      '{"nodes":{}}',
      '{"nodes":[5]}',
      '{"nodes":[{"name":"a","type":"door"}]}',
      '{"nodes":[{"name":"a\\\\","type":"fifo"}]}',
      '{"nodes":[{"name":"a","type":"fifo","inode":-1}]}',
      '{"nodes":[{"name":"a","type":"fifo","inode":1.5}]}',
      '{"nodes":[{"name":"a","type":"fifo","inode":99999999999999999999}]}',
      '{"nodes":[{"name":"a","type":"fifo","mtime":"yesterday"}]}',
      '{"nodes":[{"name":"a","type":"file","content":["xyz"]}]}',
      '{"nodes":[{"name":"a","type":"dir","subtree":7}]}',
    ]
    for (const text of bad)
      expect(() => decode(text), text).toThrow(expect.objectContaining({ code: 'damaged' }))
  })

  test('an attribute of the prototype is a field like any other', () => {
    const text = '{"nodes":[{"name":"a","type":"fifo","__proto__":{"mode":1},"constructor":5}]}'
    expect(decode(text)[0]!.mode).toBe(0)
  })
})

test('faults name the node and what is wrong with it', () => {
  const { content: _, ...bare } = file('d')
  const nodes = [
    file('b'),
    file('a'),
    file('b'),
    bare,
    { ...bare, name: Buffer.from('e/'), type: 'dir' } as TreeNode,
  ]
  expect(treeFaults(nodes)).toEqual([
    { node: 1, fault: 'unsorted' },
    { node: 2, fault: 'duplicate-name' },
    { node: 3, fault: 'no-content' },
    { node: 4, fault: 'illegal-name' },
    { node: 4, fault: 'no-subtree' },
  ])
})

test("modes translate into Go's and back", () => {
  expect(goMode(0o040755)).toBe(2147484141)
  expect(goMode(0o120777)).toBe(134218239)
  expect(goMode(0o100644)).toBe(420)
  expect(goMode(0o104755)).toBe(8389101)
  expect(goMode(0o060000)).toBe(2 ** 26)
  expect(goMode(0o020000)).toBe(2 ** 26 + 2 ** 21)
  expect(goMode(0o010000)).toBe(2 ** 25)
  expect(goMode(0o140000)).toBe(2 ** 24)
  for (let bits = 0; bits <= 0o7777; bits++)
    expect(permissionBits(goMode(0o040000 | bits))).toBe(bits)
  expect(nodeType(0o140000)).toBe('socket')
  expect(nodeType(0)).toBeUndefined()
})
