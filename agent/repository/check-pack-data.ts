// Checking every byte of one pack: a pure function of its arguments, so that any thread can do it.
import { openBlob, openBlobInto, type PackedBlob, plainLength } from './blob.ts'
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

/** Something wrong with a pack; a damaged blob has its number among the pack's. */
export interface PackFault {
  readonly blob: number | undefined
  readonly detail: string
}

/** Blobs up to this long are opened into memory that serves for all: ours have at most 8 MiB. Bytes. */
const usualBlob = 8 * 1024 * 1024

/** Where blobs are opened, one after the other. It grows to what the largest needed. */
export class OpeningRoom {
  #bytes: Buffer = Buffer.alloc(0)

  of(length: number): Buffer {
    if (length > this.#bytes.length) {
      release(this.#bytes)
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(length, this.#bytes.length * 2))
    }
    return this.#bytes.subarray(0, length)
  }
}

/** All that is wrong with a pack that was read whole: name, header, blobs. `bytes` are of no use afterwards. */
export function packFaults(
  key: SealingKey,
  pack: PackToCheck,
  bytes: Uint8Array,
  room: OpeningRoom,
): PackFault[] {
  const faults: PackFault[] = []
  const note = (blob: number | undefined, detail: string | undefined) => {
    if (detail !== undefined) faults.push({ blob, detail })
  }
  if (idOf(bytes) !== pack.id) note(undefined, 'content differs from the name')
  const header = () => {
    if (!sameBlobs(readHeader(key, bytes), pack.blobs)) {
      throw new RepositoryError('damaged', 'the header and the index list different blobs')
    }
  }
  note(undefined, faultOf(header))
  let end = 0
  for (const [i, blob] of pack.blobs.entries()) {
    const { id, offset, length, uncompressedLength } = blob
    const opening = {
      key,
      id,
      sealed: bytes.subarray(offset, offset + length),
      uncompressedLength,
    }
    // What is opened in its own place must not be a part of another blob.
    const apart = offset >= end && (pack.blobs[i + 1]?.offset ?? Infinity) >= offset + length
    const usual = apart && opening.sealed.length === length && plainLength(blob) <= usualBlob
    const open = () =>
      usual ? openBlobInto(opening, room.of(plainLength(blob))) : release(openBlob(opening))
    note(i, faultOf(open))
    end = Math.max(end, offset + length)
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
