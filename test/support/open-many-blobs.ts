// A process of its own that opens a large index from a cache on disk, and tells what that took: time, and memory
// that no other test's garbage blurs. Words: a folder, the number of index files (of 50,000 blobs), `make` or `open`.
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { openCache } from '../../agent/repository/cache.ts'
import type { SealingKey } from '../../agent/repository/cipher.ts'
import { systemRandom } from '../../agent/repository/id.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { encodeIndex, fullIndex, type IndexedPack } from '../../agent/repository/index-file.ts'
import { loadIndex } from '../../agent/repository/load-index.ts'
import { sealUnpacked } from '../../agent/repository/unpacked.ts'
import type { Opened } from './many-blobs.ts'

/** Blobs of a pack of 16 MiB, at restic's average chunk of about 1.4 MiB. */
const blobsPerPack = 12

// The same key in both processes; it guards nothing.
const masterKey: SealingKey = {
  encrypt: Buffer.alloc(32, 1),
  macK: Buffer.alloc(16, 2),
  macR: Buffer.alloc(16, 3),
}

/** One blob after another as a backup leaves them: packs filled in order, lengths of every size. */
function manyBlobs(): IndexedPack[] {
  const packs: IndexedPack[] = []
  for (let left = fullIndex; left > 0; left -= blobsPerPack) {
    let offset = 0
    const ids = systemRandom(32 * blobsPerPack)
    const blobs = Array.from({ length: Math.min(left, blobsPerPack) }, (_, i) => {
      const length = 300_000 + (ids.readUInt32LE(i * 32) % 2_000_000)
      const id = ids.toString('hex', i * 32, i * 32 + 32)
      const blob = { id, type: 'data', offset, length, uncompressedLength: length * 2 } as const
      offset += length
      return blob
    })
    packs.push({ id: systemRandom(32).toString('hex'), blobs })
  }
  return packs
}

const status = (field: string) => {
  const text = readFileSync('/proc/self/status', 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) * 1024
}

const [folder = '', files = '', what] = process.argv.slice(2)
const cache = await openCache(folder, systemRandom)
if (what === 'make') {
  for (let i = 0; i < Number(files); i++) {
    const { id, bytes } = sealUnpacked(masterKey, encodeIndex(manyBlobs()), systemRandom)
    await cache.add('index', id, bytes)
  }
} else {
  const repository = { id: '', version: 2 as const, masterKey, polynomial: 0n, keyId: undefined }
  const index = new BlobIndex()
  const live = await cache.knownIds('index')
  const before = status('VmRSS')
  const begun = performance.now()
  const cpu = process.cpuUsage()
  await loadIndex({ repository, index, live, read: async (id) => (await cache.read('index', id))! })
  const { user, system } = process.cpuUsage(cpu)
  const opened: Opened = {
    blobs: index.size,
    seconds: (performance.now() - begun) / 1000,
    cpuSeconds: (user + system) / 1e6,
    indexBytes: index.bytes,
    before,
    peak: status('VmHWM'),
  }
  console.log(JSON.stringify(opened))
}
