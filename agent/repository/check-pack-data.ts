// Everything that is wrong with one pack: a pure function over all of its bytes.
import { openBlob, type PackedBlob } from './blob.ts'
import { sameBlobs } from './check-packs.ts'
import type { SealingKey } from './cipher.ts'
import { RepositoryError } from './errors.ts'
import { type Id, idOf } from './id.ts'
import { readHeader } from './pack-header.ts'
import { release } from './release.ts'

/** A pack to be checked byte for byte. */
export interface PackToCheck {
  readonly id: Id
  /** In order of offset. */
  readonly blobs: readonly PackedBlob[]
}

/** Something wrong with a pack, or with one of its blobs. */
export interface PackFault {
  readonly blob: PackedBlob | undefined
  readonly detail: string
}

/** All that is wrong with a pack that was read whole: name, header, blobs. */
export function packFaults(key: SealingKey, pack: PackToCheck, bytes: Uint8Array): PackFault[] {
  const faults: PackFault[] = []
  const note = (blob: PackedBlob | undefined, detail: string | undefined) => {
    if (detail !== undefined) faults.push({ blob, detail })
  }
  if (idOf(bytes) !== pack.id) note(undefined, 'content differs from the name')
  const header = () => {
    if (!sameBlobs(readHeader(key, bytes), pack.blobs)) {
      throw new RepositoryError('damaged', 'the header and the index list different blobs')
    }
  }
  note(undefined, faultOf(header))
  for (const blob of pack.blobs) {
    const { id, offset, length, uncompressedLength } = blob
    const sealed = bytes.subarray(offset, offset + length)
    const open = () => release(openBlob({ key, id, sealed, uncompressedLength }))
    note(blob, faultOf(open))
  }
  return faults
}

function faultOf(work: () => void): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof RepositoryError) return error.message
    throw error
  }
}
