// What threads do for the writer, on bytes in shared memory: name blobs, seal them where they lie, name packs.
// Few imports: every thread loads them again.
import { ivBytes, macBytes, openApart, openedHash, type SealingKey, sealApart } from './cipher.ts'
import { RepositoryError, type RepositoryErrorCode } from './errors.ts'
import { type Level, LevelChoice } from './level-choice.ts'
import { primitives } from './primitives.ts'

/** Pieces of one memory, as offset, length, offset, length, … in bytes. */
export type Spans = readonly number[]

/** The hash of each span. */
export interface HashWork {
  readonly kind: 'hash'
  readonly memory: SharedArrayBuffer
  readonly spans: Spans
}

/** Seal each span in place: afterwards it begins with its ciphertext. */
export interface SealWork {
  readonly kind: 'seal'
  readonly memory: SharedArrayBuffer
  readonly spans: Spans
  readonly ids: readonly string[]
  /** zstd level of each; 0 leaves it plain. */
  readonly levels: readonly Level[]
  /** 16 bytes each. */
  readonly ivs: Uint8Array
}

/** The SHA-256 and the MD5 of the first `length` bytes. The memory is handed over, and comes back with the answer. */
export interface NameWork {
  readonly kind: 'name'
  readonly memory: ArrayBuffer
  readonly length: number
  readonly md5: boolean
}

export type Work = HashWork | SealWork | NameWork

/** Answers, by kind of work. */
export interface Answers {
  hash: { readonly ids: string[] }
  /** Ciphertext length and uncompressed length (0: plain) of each span, and 16 bytes of MAC each. */
  seal: { readonly lengths: number[]; readonly tags: Uint8Array }
  name: { readonly memory: ArrayBuffer; readonly id: string; readonly md5: string | undefined }
}

/** An answer, or what went wrong in words that can be sent between threads. */
export type Outcome =
  | { readonly done: Answers[keyof Answers] }
  | { readonly code: RepositoryErrorCode; readonly message: string }

/** Bytes of room that stay with a thread; what a larger blob needs is given back after it. */
const keptRoom = 2 * 1024 * 1024

/** Room for one intermediate result. */
class Room {
  #kept = Buffer.alloc(0)
  #large: Buffer | undefined

  /** `length` bytes until the next `take` or `giveBack`. */
  take(length: number): Buffer {
    this.giveBack()
    if (length > keptRoom) {
      this.#large = Buffer.allocUnsafeSlow(length)
      return this.#large
    }
    if (this.#kept.length < length) this.#kept = Buffer.allocUnsafeSlow(keptRoom)
    return this.#kept.subarray(0, length)
  }

  giveBack(): void {
    if (this.#large?.buffer instanceof ArrayBuffer) this.#large.buffer.transfer(0)
    this.#large = undefined
  }
}

/** What is handed over with work or its answer, rather than copied. */
export function handedOver(what: Work | Outcome): ArrayBuffer[] {
  const subject = 'done' in what ? what.done : what
  return 'memory' in subject && subject.memory instanceof ArrayBuffer ? [subject.memory] : []
}

/** Does the work of one thread under one key. */
export class SealBench {
  readonly #key: SealingKey
  readonly #packed = new Room()
  readonly #choice = new LevelChoice()
  readonly #digest = Buffer.alloc(32)

  constructor(key: SealingKey) {
    this.#key = key
  }

  /** Never throws. */
  do(work: Work): Outcome {
    try {
      return { done: this.#do(work) }
    } catch (error) {
      if (error instanceof RepositoryError) return { code: error.code, message: error.message }
      const message = error instanceof Error ? error.message : 'unknown'
      return { code: 'self-check-failed', message: `a blob could not be sealed: ${message}` }
    }
  }

  #do(work: Work): Answers[keyof Answers] {
    if (work.kind === 'name') return this.#name(work)
    const bytes = Buffer.from(work.memory)
    if (work.kind === 'seal') return this.#sealAll(bytes, work)
    const ids: string[] = []
    for (let i = 0; i < work.spans.length; i += 2) ids.push(this.#hash(span(bytes, work.spans, i)))
    return { ids }
  }

  #name({ memory, length, md5 }: NameWork): Answers['name'] {
    const pack = Buffer.from(memory, 0, length)
    const id = this.#hash(pack)
    if (!md5) return { memory, id, md5: undefined }
    const digest = this.#digest.subarray(0, 16)
    primitives.md5(pack, digest)
    return { memory, id, md5: digest.toString('hex') }
  }

  #hash(bytes: Uint8Array): string {
    primitives.sha256(bytes, this.#digest)
    return this.#digest.toString('hex')
  }

  #sealAll(bytes: Buffer, { spans, ids, levels, ivs }: SealWork): Answers['seal'] {
    const tags = new Uint8Array(ids.length * macBytes)
    const lengths: number[] = []
    for (const [i, id] of ids.entries()) {
      const plain = span(bytes, spans, 2 * i)
      const iv = ivs.subarray(i * ivBytes, (i + 1) * ivBytes)
      const tag = tags.subarray(i * macBytes, (i + 1) * macBytes)
      lengths.push(...this.#seal(plain, id, levels[i]!, iv, tag))
    }
    return { lengths, tags }
  }

  /** The length of what it became, 0 if it does not fit. */
  #compress(plain: Buffer, level: Level, into: Buffer): number {
    if (level !== 'auto') return primitives.compress(plain, level, into)
    return this.#choice.use(plain.length, (chosen) => primitives.compress(plain, chosen, into))
  }

  /**
   * Compress where that helps, seal, and open again: what leaves here was seen to decrypt, decompress and hash to
   * its id, so a bad memory cell or a bug cannot store what nobody can restore. The ciphertext takes the place of the
   * plaintext, so there is nothing left that a wrong answer could be mistaken for. Opening keeps nothing but the hash.
   */
  #seal(
    plain: Buffer,
    id: string,
    level: Level,
    iv: Uint8Array,
    tag: Uint8Array,
  ): [number, number] {
    const shorter = Math.max(0, plain.length - 1)
    const packed = this.#packed.take(level === 0 ? 0 : shorter)
    const packedLength = packed.length > 0 ? this.#compress(plain, level, packed) : 0
    const digest = this.#digest
    try {
      if (packedLength === 0) {
        sealApart(this.#key, plain, iv, plain, tag)
        openedHash(this.#key, iv, plain, tag, digest)
      } else {
        const ciphertext = plain.subarray(0, packedLength)
        const unsealed = packed.subarray(0, packedLength)
        sealApart(this.#key, unsealed, iv, ciphertext, tag)
        unsealed.fill(0)
        openApart(this.#key, iv, ciphertext, tag, unsealed)
        const length = primitives.hashDecompressed(unsealed, digest)
        if (length !== plain.length) throw new Error(`${length} bytes came back`)
      }
      if (digest.toString('hex') !== id) throw new Error('other content came back')
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unknown'
      throw new RepositoryError('self-check-failed', `blob ${id} did not open again: ${reason}`)
    } finally {
      this.#packed.giveBack()
    }
    return packedLength === 0 ? [plain.length, 0] : [packedLength, plain.length]
  }
}

function span(bytes: Buffer, spans: Spans, at: number): Buffer {
  return bytes.subarray(spans[at]!, spans[at]! + spans[at + 1]!)
}
