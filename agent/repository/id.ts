// Names of blobs and objects: SHA-256, written as 64 lower-case hex characters.
import { randomBytes } from 'node:crypto'
import { damaged } from './errors.ts'
import { primitives } from './primitives.ts'

/** 64 lower-case hex characters. A blob's id hashes its plaintext; an object's id hashes its stored bytes. */
export type Id = string

/** `n` bytes fit for keys and IVs. Passed in, so that a run can be replayed from a seed. */
export type Random = (n: number) => Buffer

/** The operating system's generator: what every real run uses. */
export const systemRandom: Random = (n) => randomBytes(n)

/** Milliseconds since 1970, UTC. */
export interface Clock {
  now(): number
}

export const idBytes = 32

/** SHA-256 of `bytes` as an id. */
export function idOf(bytes: Uint8Array): Id {
  primitives.sha256(bytes, digest)
  return digest.toString('hex')
}

const digest = Buffer.alloc(idBytes)

const lower = /^[0-9a-f]{64}$/
const any = /^[0-9a-fA-F]{64}$/

/** Whether `text` is an id as object names spell it (lower case only). */
export function isId(text: string): text is Id {
  return lower.test(text)
}

/** An id out of foreign JSON, where restic accepts upper case too. Rejects with `damaged`. */
export function parseId(value: unknown, what: string): Id {
  if (typeof value !== 'string' || !any.test(value)) throw damaged(`${what} is not a SHA-256 id`)
  return value.toLowerCase()
}

/** A fresh random id, as a repository's own id is. */
export function randomId(random: Random): Id {
  return random(idBytes).toString('hex')
}
