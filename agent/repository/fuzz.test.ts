// Foreign bytes: whatever they are, a parser ends soon, with a value or with an error of our own.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createMemoryStore } from '../storage/memory.ts'
import { openBlob, type PackedBlob, sealBlob } from './blob.ts'
import { packFaults } from './check-pack-data.ts'
import { seal } from './cipher.ts'
import { compress } from './compression.ts'
import { openConfig } from './config-file.ts'
import { RepositoryError } from './errors.ts'
import { idOf, systemRandom } from './id.ts'
import { decodeIndex } from './index-file.ts'
import { encodeKeyFile, openKeyFile, randomMasterKey } from './key-file.ts'
import { objectKey } from './layout.ts'
import { openLock, sealLock } from './lock-file.ts'
import { createOpeningRooms } from './opening-room.ts'
import { OpenPack } from './pack.ts'
import { decodeHeader, readHeader } from './pack-header.ts'
import { decodeSnapshot } from './snapshot.ts'
import { isSoundPack } from './sound-pack.ts'
import { decodeTree, encodeTree, treeFaults } from './tree.ts'
import { openUnpacked } from './unpacked.ts'

const key = randomMasterKey(systemRandom)
const id = 'ab'.repeat(32)
const runs = { numRuns: process.env.HOLDFAST_TEST_ALL ? 30_000 : 1500 }

/** Words and values that the parsers look for, so that random JSON gets past the first check. */
const words = [
  'packs id blobs type offset length uncompressed_length nodes name mode mtime atime ctime uid gid user group',
  'inode device_id size links linktarget linktarget_raw extended_attributes generic_attributes value device',
  'content subtree error time parent tree paths hostname tags original summary kdf N r p salt data version',
  'chunker_polynomial exclusive pid backup_start Nodes __proto__ constructor',
].flatMap((line) => line.split(' '))
const values = [
  id,
  'data',
  'tree',
  'file',
  'dir',
  'scrypt',
  'a',
  '',
  '\\x',
  '\\xff',
  '2024-01-01T00:00:00Z',
  'AAAA',
  '3da3358b4dc173',
]
const numbers = [0, 1, 2, 32, 100, -1, 1.5, 2 ** 31, 2 ** 32, 2 ** 53, 1e300]

const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom<unknown>(null, true, false, ...values, ...numbers),
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...words), tie('json'), { maxKeys: 8 }),
  ),
}))

const jsonText = json.map((value) => Buffer.from(JSON.stringify(value)))

/** Real text with some bytes replaced, cut or doubled: the likeliest to reach deep. */
function mutations(real: Buffer): fc.Arbitrary<Buffer> {
  const change = fc.tuple(fc.nat(real.length - 1), fc.nat(255), fc.nat(3))
  return fc.array(change, { minLength: 1, maxLength: 6 }).map((changes) => {
    let bytes = Buffer.from(real)
    for (const [at, byte, how] of changes) {
      if (how === 0) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
      else if (how === 1)
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.of(byte), bytes.subarray(at)])
      else if (at < bytes.length) bytes[at] = byte
    }
    return bytes
  })
}

const anyBytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))

function onlyOurErrors(work: () => unknown): void {
  const start = performance.now()
  try {
    work()
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw error
  }
  expect(performance.now() - start).toBeLessThan(1000)
}

const time = 1_700_000_000_000_000_000n
const realTree = encodeTree([
  {
    name: Buffer.from('näme\xff\n"', 'latin1'),
    type: 'file',
    mode: 420,
    mtime: time,
    atime: time + 5n,
    ctime: time,
    uid: 1,
    gid: 2,
    user: 'u',
    inode: 2n ** 63n,
    size: 5n,
    content: [id],
    extendedAttributes: [{ name: Buffer.from('user.x'), value: Buffer.from('y') }],
  },
])
const realIndex = Buffer.from(
  `{"packs":[{"id":"${id}","blobs":[{"id":"${id}","type":"data","offset":0,"length":99,"uncompressed_length":7}]}]}`,
)
const realSnapshot = Buffer.from(
  `{"time":"2024-01-01T00:00:00Z","tree":"${id}","paths":["/x"],"tags":["a"],"summary":{"files_new":1}}`,
)

const jsonParsers: { [name: string]: [Buffer, (bytes: Buffer) => unknown] } = {
  tree: [
    realTree,
    (bytes) => {
      const nodes = decodeTree(bytes)
      // What decodes and has no fault must encode again, or restoring and re-saving it would fail late.
      if (treeFaults(nodes).length === 0) encodeTree(nodes)
    },
  ],
  'index file': [realIndex, decodeIndex],
  snapshot: [realSnapshot, decodeSnapshot],
  config: [
    Buffer.from(`{"version":2,"id":"${id}","chunker_polynomial":"3da3358b4dc173"}`),
    (bytes) => openConfig(key, seal(key, bytes, systemRandom)),
  ],
  lock: [
    Buffer.from('{"time":"2024-01-01T00:00:00Z","exclusive":true,"hostname":"h","pid":5}'),
    (bytes) => {
      const sealed = seal(key, bytes, systemRandom)
      return openLock(key, idOf(sealed), sealed)
    },
  ],
}

describe.each(Object.entries(jsonParsers))('the parser of a %s', (_name, [real, parse]) => {
  test('meets random bytes', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => onlyOurErrors(() => parse(bytes))),
      runs,
    )
  })
  test('meets random JSON of its own words', () => {
    fc.assert(
      fc.property(jsonText, (bytes) => onlyOurErrors(() => parse(bytes))),
      runs,
    )
  })
  test('meets its own text, damaged', () => {
    expect(() => parse(real)).not.toThrow()
    fc.assert(
      fc.property(mutations(real), (bytes) => onlyOurErrors(() => parse(bytes))),
      runs,
    )
  })
  test('meets text nested without end', () => {
    for (const deep of [
      '['.repeat(200_000),
      '{"nodes":'.repeat(50_000),
      `${'[{"a":'.repeat(9999)}`,
    ]) {
      onlyOurErrors(() => parse(Buffer.from(deep)))
    }
  })
})

describe('binary parsers', () => {
  const header = Buffer.concat([
    Buffer.of(0, 99, 0, 0, 0),
    Buffer.alloc(32, 1),
    Buffer.of(3, 80, 0, 0, 0, 9, 0, 0, 0),
    Buffer.alloc(32, 2),
  ])

  test('a pack header: random, and its own bytes damaged', () => {
    expect(decodeHeader(header).length).toBe(2)
    const arbitrary = fc.oneof(anyBytes, mutations(header))
    fc.assert(
      fc.property(arbitrary, (bytes) => onlyOurErrors(() => decodeHeader(bytes))),
      runs,
    )
    const sealed = arbitrary.map((bytes) => {
      const body = seal(key, bytes, systemRandom)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(body.length)
      return Buffer.concat([body, length])
    })
    fc.assert(
      fc.property(sealed, (bytes) => onlyOurErrors(() => readHeader(key, bytes))),
      runs,
    )
    fc.assert(
      fc.property(anyBytes, (bytes) => onlyOurErrors(() => readHeader(key, bytes))),
      runs,
    )
  })

  test('a whole pack, damaged: the quick look and the thorough one agree, and nothing else is thrown', async () => {
    const plains = [Buffer.alloc(5000, 'ab'), systemRandom(700), Buffer.from('{"nodes":[]}')]
    const open = new OpenPack('data')
    for (const plain of plains) {
      open.add(
        sealBlob({ key, type: 'data', id: idOf(plain), plain, level: 2, random: systemRandom }),
      )
    }
    const whole = open.finish(key, systemRandom, false)
    const looks = async (id: string, blobs: readonly PackedBlob[], bytes: Buffer) => {
      const store = createMemoryStore()
      store.objects.set(objectKey('data', id), bytes)
      const pack = { id, blobs }
      const rooms = createOpeningRooms(1)
      const quick = await isSoundPack({ store, key, pack, size: bytes.length, rooms })
      return { quick, faults: packFaults(key, pack, Buffer.from(bytes)) }
    }
    expect(await looks(whole.id, whole.blobs, whole.bytes)).toEqual({ quick: true, faults: [] })
    // Half of them under the name that their bytes now have, so that the name gives nothing away.
    const property = fc.asyncProperty(
      mutations(whole.bytes),
      fc.boolean(),
      async (bytes, named) => {
        const id = named ? idOf(bytes) : whole.id
        const { quick, faults } = await looks(id, whole.blobs, bytes)
        expect(quick).toBe(faults.length === 0)
        expect(quick).toBe(bytes.equals(whole.bytes))
      },
    )
    await fc.assert(property, { numRuns: runs.numRuns / 3 })
    // What an index lies about a pack: lengths up to the limit, another type, another order.
    const lie = fc.record({
      at: fc.nat(2),
      uncompressedLength: fc.oneof(fc.nat(2 ** 30), fc.constant(0)),
      type: fc.constantFrom<'data' | 'tree'>('data', 'tree'),
    })
    const lies = fc.asyncProperty(lie, async ({ at, ...change }) => {
      const blobs = whole.blobs.map((blob, i) => (i === at ? { ...blob, ...change } : blob))
      const { quick, faults } = await looks(whole.id, blobs, whole.bytes)
      expect(quick).toBe(faults.length === 0)
    })
    await fc.assert(lies, { numRuns: 200 })
  })

  test('an unpacked file: any plaintext, and zstd frames damaged', () => {
    const frame = Buffer.concat([Buffer.of(2), compress(realIndex, 3)])
    const plain = fc.oneof(anyBytes, mutations(frame))
    fc.assert(
      fc.property(plain, (bytes) => {
        const sealed = seal(key, bytes, systemRandom)
        onlyOurErrors(() => openUnpacked(key, idOf(sealed), sealed))
      }),
      runs,
    )
  })

  test('a blob: any sealed bytes under any claimed length', () => {
    const frame = compress(Buffer.alloc(5000, 'ab'), 3)
    const property = fc.property(
      fc.oneof(anyBytes, mutations(frame)),
      fc.nat(2 ** 32 - 1),
      (bytes, length) => {
        const sealed = seal(key, bytes, systemRandom)
        onlyOurErrors(() => openBlob({ key, id, sealed, uncompressedLength: length }))
      },
    )
    fc.assert(property, { numRuns: 300 })
  })

  test('a key file: random JSON, and its own text damaged', async () => {
    const real = await encodeKeyFile({
      password: 'x',
      masterKey: key,
      created: 0,
      username: 'u',
      hostname: 'h',
      random: systemRandom,
      cost: { N: 2, r: 1, p: 1 },
    })
    const property = fc.asyncProperty(
      fc.oneof(anyBytes, jsonText, mutations(real)),
      async (bytes) => {
        await openKeyFile(bytes, 'x').catch((error) => {
          if (!(error instanceof RepositoryError)) throw error
        })
      },
    )
    await fc.assert(property, { numRuns: 1000 })
  })

  test('a lock is never taken for another object', () => {
    const lock = { time, exclusive: true, hostname: 'h', username: 'u', pid: 1 }
    const { id: name, bytes } = sealLock(key, lock, systemRandom)
    expect(() => decodeSnapshot(openUnpacked(key, name, bytes))).toThrow('names no tree')
  })
})
