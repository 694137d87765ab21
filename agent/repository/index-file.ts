// Index files: which blobs lie where, for many packs at once.
import { type BlobType, blobLimit, type PackedBlob } from './blob.ts'
import { sealOverhead } from './cipher.ts'
import { damaged, RepositoryError } from './errors.ts'
import { asObject, field, listField, parseObject, uintField } from './go-json.ts'
import { type Id, parseId } from './id.ts'

/** One pack as an index file lists it. */
export interface IndexedPack {
  readonly id: Id
  readonly blobs: readonly PackedBlob[]
}

/** An index file is full at this many blobs (restic's own number): about 8 MB of JSON. */
export const fullIndex = 50_000
/** Packs wait no longer than this for their index file, in milliseconds; a crash loses only what waits. */
export const indexAge = 10 * 60 * 1000

/** The JSON text of an index file. Each pack belongs into exactly one. */
export function encodeIndex(packs: Iterable<IndexedPack>): Buffer {
  const texts: string[] = []
  for (const { id, blobs } of packs) {
    const entries = blobs.map((blob) => {
      const length = `"offset":${blob.offset},"length":${blob.length}`
      const plain =
        blob.uncompressedLength > 0 ? `,"uncompressed_length":${blob.uncompressedLength}` : ''
      return `{"id":"${blob.id}","type":"${blob.type}",${length}${plain}}`
    })
    texts.push(`{"id":"${id}","blobs":[${entries.join(',')}]}`)
  }
  return Buffer.from(`{"packs":[${texts.join(',')}]}\n`)
}

/** The packs of an index file. Rejects with `damaged`; unknown fields are ignored. */
export function decodeIndex(json: Uint8Array): IndexedPack[] {
  const what = 'an index file'
  const root = parseObject(json, what)
  return (listField(root, 'packs', what) ?? []).map((item) => {
    const pack = asObject(item, what)
    const blobs = listField(pack, 'blobs', what) ?? []
    return { id: parseId(field(pack, 'id'), 'a pack in an index file'), blobs: blobs.map(blobOf) }
  })
}

function blobOf(item: unknown): PackedBlob {
  const what = 'a blob in an index file'
  const json = asObject(item, what)
  const offset = uintField(json, 'offset', what) ?? 0
  const length = uintField(json, 'length', what) ?? 0
  if (length < sealOverhead || offset + length > 2 ** 32) {
    throw damaged(`${what} has an impossible place`)
  }
  const uncompressedLength = uintField(json, 'uncompressed_length', what) ?? 0
  if (uncompressedLength > blobLimit || length > blobLimit) {
    throw new RepositoryError('too-large', `${what} is beyond ${blobLimit} bytes`)
  }
  const id = parseId(field(json, 'id'), what)
  return { id, type: typeOf(field(json, 'type')), offset, length, uncompressedLength }
}

function typeOf(value: unknown): BlobType {
  if (value === 'data' || value === 'tree') return value
  throw damaged('a blob in an index file has an unknown type')
}
