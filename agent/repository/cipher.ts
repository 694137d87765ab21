// Sealing and opening: AES-256-CTR with a Poly1305-AES MAC, as restic's design document describes it.
import { assertLength } from './assert-length.ts'
import { damaged, RepositoryError } from './errors.ts'
import type { Random } from './id.ts'
import { primitives } from './primitives.ts'

/** The three secrets behind one sealing domain: a password's own key, or a repository's master key. */
export interface SealingKey {
  /** AES-256 key, 32 bytes. */
  readonly encrypt: Buffer
  /** AES-128 key that turns an IV into the MAC's one-time pad, 16 bytes. */
  readonly macK: Buffer
  /** Poly1305 r, 16 bytes, kept unclamped. */
  readonly macR: Buffer
}

export const ivBytes = 16
export const macBytes = 16
/** A sealed message is this much longer than its plaintext. */
export const sealOverhead = ivBytes + macBytes

/** Refuse a key that has an all-zero part or a part of the wrong length. */
export function assertUsableKey(key: SealingKey): void {
  const parts: [Buffer, number][] = [
    [key.encrypt, 32],
    [key.macK, 16],
    [key.macR, 16],
  ]
  for (const [part, length] of parts) {
    if (part.length !== length || isZero(part)) throw damaged('a key has an empty or short part')
  }
}

/** `IV ‖ ciphertext ‖ MAC` of `plaintext`, under a fresh IV. */
export function seal(key: SealingKey, plaintext: Uint8Array, random: Random): Buffer {
  let iv = random(ivBytes)
  // One in 2^128; restic refuses such an IV when it opens, so it must never be written.
  while (isZero(iv)) iv = random(ivBytes)
  return sealWithIv(key, plaintext, iv)
}

/** As `seal`, under a given IV. An IV must never serve twice: only `seal` and test vectors call this. */
export function sealWithIv(key: SealingKey, plaintext: Uint8Array, iv: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(plaintext.length + sealOverhead)
  sealInto(key, plaintext, iv, out)
  return out
}

/**
 * As `seal`, into 32 bytes more than `plaintext`, under an IV that must never serve twice. `plaintext` may lie
 * in `into` already, from its 16th byte on: then nothing is copied.
 */
export function sealInto(
  key: SealingKey,
  plaintext: Uint8Array,
  iv: Uint8Array,
  into: Uint8Array,
): void {
  assertLength(into, plaintext.length + sealOverhead)
  const end = ivBytes + plaintext.length
  sealApart(key, plaintext, iv, into.subarray(ivBytes, end), into.subarray(end))
  into.set(iv, 0)
}

/**
 * As `sealInto`, for a caller who puts `iv ‖ ciphertext ‖ tag` together later. `ciphertext` is as long as `plaintext`
 * and may be the same bytes; `tag` takes 16.
 */
export function sealApart(
  key: SealingKey,
  plaintext: Uint8Array,
  iv: Uint8Array,
  ciphertext: Uint8Array,
  tag: Uint8Array,
): void {
  if (iv.length !== ivBytes || isZero(iv)) {
    throw new RepositoryError('invalid-input', 'an IV must be 16 bytes and not all zero')
  }
  primitives.aes256Ctr(key.encrypt, iv, plaintext, ciphertext)
  writeMac(key, iv, ciphertext, tag)
}

/** The plaintext of `sealed`, once its MAC was found right. Rejects with `damaged`. */
export function open(key: SealingKey, sealed: Uint8Array): Buffer {
  const plain = Buffer.allocUnsafe(Math.max(0, sealed.length - sealOverhead))
  openInto(key, sealed, plain)
  return plain
}

/** As `open`, into a buffer 32 bytes shorter than `sealed`, which may be the ciphertext's own place in `sealed`. */
export function openInto(key: SealingKey, sealed: Uint8Array, into: Uint8Array): void {
  if (sealed.length < sealOverhead) throw damaged('a sealed message fails its MAC')
  const end = sealed.length - macBytes
  const ciphertext = sealed.subarray(ivBytes, end)
  openApart(key, sealed.subarray(0, ivBytes), ciphertext, sealed.subarray(end), into)
}

/** As `openInto`, where the parts of a sealed message lie apart. */
export function openApart(
  key: SealingKey,
  iv: Uint8Array,
  ciphertext: Uint8Array,
  tag: Uint8Array,
  into: Uint8Array,
): void {
  if (!tagMatches(key, iv, ciphertext, tag)) throw damaged('a sealed message fails its MAC')
  primitives.aes256Ctr(key.encrypt, iv, ciphertext, into)
}

/** The SHA-256 of what `openApart` would give, which is not kept. */
export function openedHash(
  key: SealingKey,
  iv: Uint8Array,
  ciphertext: Uint8Array,
  tag: Uint8Array,
  digest: Uint8Array,
): void {
  if (!tagMatches(key, iv, ciphertext, tag)) throw damaged('a sealed message fails its MAC')
  primitives.hashDecrypted(key.encrypt, iv, ciphertext, digest)
}

/** Whether `sealed` was made under `key`; false also for what is too short or has an all-zero IV. */
export function macMatches(key: SealingKey, sealed: Uint8Array): boolean {
  if (sealed.length < sealOverhead) return false
  const end = sealed.length - macBytes
  const iv = sealed.subarray(0, ivBytes)
  return tagMatches(key, iv, sealed.subarray(ivBytes, end), sealed.subarray(end))
}

function tagMatches(key: SealingKey, iv: Uint8Array, ct: Uint8Array, tag: Uint8Array): boolean {
  if (isZero(iv)) return false
  assertLength(tag, macBytes)
  writeMac(key, iv, ct, expectedTag)
  // Every byte is looked at, so that the time taken does not tell how much of a forged tag was right.
  let difference = 0
  for (let i = 0; i < macBytes; i++) difference |= expectedTag[i]! ^ tag[i]!
  return difference === 0
}

const expectedTag = Buffer.alloc(macBytes)
const oneTimeKey = Buffer.alloc(32)
const oneTimePad = oneTimeKey.subarray(16)

function writeMac(key: SealingKey, iv: Uint8Array, ct: Uint8Array, tag: Uint8Array): void {
  oneTimeKey.set(key.macR, 0)
  primitives.aes128Block(key.macK, iv, oneTimePad)
  primitives.poly1305(tag, ct, oneTimeKey)
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false
  return true
}
