// Threads that check packs. The main thread fetches, and hands each pack over whole without copying it.
import { Worker } from 'node:worker_threads'
import type { PackedBlob } from './blob.ts'
import { OpeningRoom, type PackFault, type PackToCheck, packFaults } from './check-pack-data.ts'
import type { SealingKey } from './cipher.ts'

export interface PackChecker {
  /** All that is wrong with a pack. `bytes` are given away: whoever looks at them again finds them empty. */
  check(pack: PackToCheck, bytes: Uint8Array): Promise<PackFault[]>
  /** Ends the threads. */
  close(): Promise<void>
}

/** What a thread is told. */
export interface PackMessage {
  readonly id: string
  readonly bytes: Uint8Array
  /** `wordsPerBlob` words per blob. */
  readonly blobs: Uint32Array
}

/** A thread needs a pack, an opened blob and little else; MB. */
const threadHeap = 64
const idWords = 8
export const wordsPerBlob = idWords + 4

/** Checks on `threads` threads, or in this one if there are to be none. */
export function createPackChecker(key: SealingKey, threads: number): PackChecker {
  if (threads > 0) return new CheckPool(key, threads)
  const room = new OpeningRoom()
  return {
    check: async (pack, bytes) => packFaults(key, pack, bytes, room),
    close: async () => {},
  }
}

interface Task {
  readonly message: PackMessage
  resolve(faults: PackFault[]): void
  reject(error: Error): void
}

class CheckPool implements PackChecker {
  readonly #waiting: Task[] = []
  readonly #idle: Worker[] = []
  readonly #tasks = new Map<Worker, Task>()
  readonly #workers: Worker[]
  #failure: Error | undefined

  constructor(key: SealingKey, threads: number) {
    this.#workers = Array.from({ length: threads }, () => this.#start(key))
    this.#idle.push(...this.#workers)
  }

  check(pack: PackToCheck, bytes: Uint8Array): Promise<PackFault[]> {
    const message = { id: pack.id, bytes: own(bytes), blobs: toWords(pack.blobs) }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, resolve, reject })
      this.#next()
    })
  }

  async close(): Promise<void> {
    this.#failure ??= new Error('the check was given up')
    this.#next()
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }

  #start(key: SealingKey): Worker {
    const worker = new Worker(new URL('./check-thread.ts', import.meta.url), {
      workerData: key,
      resourceLimits: { maxOldGenerationSizeMb: threadHeap, maxYoungGenerationSizeMb: 4 },
    })
    worker.on('message', (faults: PackFault[]) => {
      this.#tasks.get(worker)?.resolve(faults)
      this.#tasks.delete(worker)
      this.#idle.push(worker)
      this.#next()
    })
    const fail = (error: Error) => {
      // A thread that died has said nothing about its pack: the whole check is void.
      this.#failure ??= error
      for (const task of this.#tasks.values()) task.reject(error)
      this.#tasks.clear()
      this.#next()
    }
    worker.on('error', fail)
    worker.on('exit', () => fail(new Error('a checking thread ended')))
    return worker
  }

  #next(): void {
    if (this.#failure !== undefined) {
      for (const task of this.#waiting.splice(0)) task.reject(this.#failure)
      return
    }
    while (this.#idle.length > 0 && this.#waiting.length > 0) {
      const worker = this.#idle.pop()!
      const task = this.#waiting.shift()!
      this.#tasks.set(worker, task)
      const { bytes, blobs } = task.message
      worker.postMessage(task.message, [bytes.buffer as ArrayBuffer, blobs.buffer as ArrayBuffer])
    }
  }
}

/** Bytes in memory of their own, which can be handed over: a small one may share Node's pool. */
function own(bytes: Uint8Array): Uint8Array {
  const whole = bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer
  return whole ? bytes : new Uint8Array(bytes)
}

function toWords(blobs: readonly PackedBlob[]): Uint32Array {
  const words = new Uint32Array(blobs.length * wordsPerBlob)
  const bytes = Buffer.from(words.buffer)
  for (const [i, blob] of blobs.entries()) {
    const at = i * wordsPerBlob
    bytes.write(blob.id, at * 4, 'hex')
    words[at + idWords] = blob.type === 'tree' ? 1 : 0
    words[at + idWords + 1] = blob.offset
    words[at + idWords + 2] = blob.length
    words[at + idWords + 3] = blob.uncompressedLength
  }
  return words
}

/** The blobs of a message. */
export function fromWords(words: Uint32Array): PackedBlob[] {
  const bytes = Buffer.from(words.buffer, words.byteOffset, words.byteLength)
  return Array.from({ length: words.length / wordsPerBlob }, (_, i) => {
    const at = i * wordsPerBlob
    return {
      id: bytes.toString('hex', at * 4, (at + idWords) * 4),
      type: words[at + idWords] === 1 ? 'tree' : 'data',
      offset: words[at + idWords + 1]!,
      length: words[at + idWords + 2]!,
      uncompressedLength: words[at + idWords + 3]!,
    }
  })
}
