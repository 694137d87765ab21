// SHA-256 beside the thread that asks for it: hashing is most of what a check computes, and Node's own pool of threads
// does it without a second V8, which would take 24 MB.
import { createHash } from 'node:crypto'
import koffi from 'koffi'
import { type Id, idOf } from './id.ts'

/** A hash that grows. One update at a time; what is being hashed must not change until the promise settles. */
export interface GrowingHash {
  update(bytes: Uint8Array): Promise<void>
  /** The hash of all updates, once. */
  digest(): Id
}

/** Below this many bytes the way to another thread and back (20 µs) costs more than it spares. */
const worthwhile = 128 * 1024
/** `SHA256_CTX` has 112 bytes in every OpenSSL there is; room for twice that. */
const contextBytes = 224

const native = load()

function load() {
  try {
    const own = koffi.load(null)
    const update = own.func('SHA256_Update', 'int', ['void *', 'void *', 'size_t'])
    return {
      init: own.func('SHA256_Init', 'int', ['void *']),
      update,
      updateAsync: (context: Buffer, bytes: Uint8Array) =>
        new Promise<void>((resolve, reject) => {
          update.async(context, bytes, bytes.length, (error: unknown) =>
            error ? reject(error) : resolve(),
          )
        }),
      final: own.func('SHA256_Final', 'int', ['void *', 'void *']),
    }
  } catch {
    return undefined
  }
}

/** Begin a hash. Where OpenSSL cannot be reached it is computed in this thread. */
export function growingHash(): GrowingHash {
  if (native === undefined) {
    const hash = createHash('sha256')
    return {
      update: async (bytes) => void hash.update(bytes),
      digest: () => hash.digest('hex'),
    }
  }
  const { init, update, updateAsync, final } = native
  const context = Buffer.allocUnsafeSlow(contextBytes)
  init(context)
  return {
    async update(bytes) {
      if (bytes.length < worthwhile) update(context, bytes, bytes.length)
      else await updateAsync(context, bytes)
    },
    digest() {
      const digest = Buffer.allocUnsafeSlow(32)
      final(digest, context)
      return digest.toString('hex')
    },
  }
}

/** As `idOf`, beside this thread where that is worth it. */
export async function idOfLong(bytes: Uint8Array): Promise<Id> {
  if (bytes.length < worthwhile) return idOf(bytes)
  const hash = growingHash()
  await hash.update(bytes)
  return hash.digest()
}
