// "Unpacked" files, in restic's words: index files, snapshots and locks. One sealed, compressed JSON text each.
import { open, type SealingKey, seal } from './cipher.ts'
import { compress, decompress, defaultCompressionLevel } from './compression.ts'
import { damaged } from './errors.ts'
import { type Id, idOf, type Random } from './id.ts'
import { release } from './release.ts'

/** An object ready to be stored: its bytes never change, because its name is their hash. */
export interface SealedObject {
  readonly id: Id
  readonly bytes: Buffer
}

const compressedJson = 0x02
/** An index of 50,000 blobs is 8 MB; foreign ones may be larger, but not without bound. */
const unpackedLimit = 256 * 1024 * 1024

/**
 * Seal `json` once. The IV is random, so sealing the same text again gives another id: keep the bytes, and
 * repeat a failed upload with the same ones.
 */
export function sealUnpacked(key: SealingKey, json: Uint8Array, random: Random): SealedObject {
  const packed = compress(json, defaultCompressionLevel)
  const bytes = seal(key, Buffer.concat([Buffer.of(compressedJson), packed]), random)
  return { id: idOf(bytes), bytes }
}

/** The JSON text of a stored object; `id` is the name it was found under. Rejects with `damaged`. */
export function openUnpacked(key: SealingKey, id: Id, bytes: Uint8Array): Buffer {
  if (idOf(bytes) !== id) throw damaged(`object ${id} has other content than its name says`)
  const plain = open(key, bytes)
  const first = plain[0]
  if (first === compressedJson) {
    const json = decompress(plain.subarray(1), unpackedLimit)
    release(plain)
    return json
  }
  if (first === 0x7b || first === 0x5b) return plain // '{' or '[': JSON as it is
  throw damaged(`object ${id} has an unknown encoding`)
}
