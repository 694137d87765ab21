// Opening long blobs on Node's own pool of threads: decompressing and hashing are nearly all of the work, and the thread
// that asks has files to write and small blobs to open meanwhile.
import koffi from 'koffi'
import { idOfLong } from './background-hash.ts'
import { type OpeningBlob, openBlobInto } from './blob.ts'
import { ivBytes, macBytes, openInto } from './cipher.ts'
import { decompressInto } from './compression.ts'
import { damaged } from './errors.ts'
import { primitives } from './primitives.ts'

/** Contents of fewer bytes are opened sooner than they have gone to another thread and come back. */
export const longContent = 128 * 1024

type Context = unknown
/** A number where that is exact; zstd's errors lie just below 2^64 and come as a bigint. */
type Size = number | bigint

const native = load()
/** Decompressors that nobody uses now: as many as were ever at work at a time. */
const idle: Context[] = []

function load() {
  // Sought by name only where the same functions were seen to give known answers.
  if (primitives.name !== 'native') return undefined
  try {
    const own = koffi.load(null)
    const p = 'void *'
    const parameters = [p, p, 'size_t', p, 'size_t']
    const create = own.func('ZSTD_createDCtx', p, [])
    const run = own.func('ZSTD_decompressDCtx', 'size_t', parameters)
    return {
      create: () => create() as Context,
      run: (context: Context, into: Uint8Array, packed: Uint8Array) =>
        new Promise<Size>((resolve, reject) => {
          const whenDone = (error: unknown, size: Size) => (error ? reject(error) : resolve(size))
          run.async(context, into, into.length, packed, packed.length, whenDone)
        }),
    }
  } catch {
    return undefined
  }
}

/**
 * As `decompressInto`, beside this thread where that is worth it. Neither buffer may be touched or released until the
 * promise settles. Too much and not zstd are both `damaged`.
 */
export async function decompressBeside(packed: Uint8Array, into: Uint8Array): Promise<number> {
  if (native === undefined || into.length < longContent || packed.length === 0) {
    return decompressInto(packed, into)
  }
  const context = idle.pop() ?? native.create()
  // Out of memory: the usual way says so.
  if (context === null) return decompressInto(packed, into)
  try {
    const size = await native.run(context, into, packed)
    if (typeof size !== 'number') throw damaged('compressed data cannot be decoded')
    return size
  } finally {
    idle.push(context)
  }
}

/**
 * As `openBlobInto` with a blob decrypted in its place, beside this thread where that is worth it. `sealed` and `into`
 * are not to be touched or released until the promise settles.
 */
export async function openBlobBeside(blob: OpeningBlob, into: Uint8Array): Promise<void> {
  if (into.length < longContent) return openBlobInto(blob, into)
  const { key, id, sealed, uncompressedLength } = blob
  if (uncompressedLength === 0) openInto(key, sealed, into)
  else {
    const packed = sealed.subarray(ivBytes, -macBytes)
    openInto(key, sealed, packed)
    const size = await decompressBeside(packed, into)
    if (size !== into.length) {
      throw damaged(`blob ${id} has ${size} bytes, not ${uncompressedLength} as listed`)
    }
  }
  if ((await idOfLong(into)) !== id) throw damaged(`blob ${id} has other content than its id says`)
}
