// Sealing and opening: AES-256-CTR with a Poly1305-AES MAC, as restic's design document describes it.
import { createCipheriv, createDecipheriv, timingSafeEqual } from 'node:crypto'
import { damaged, RepositoryError } from './errors.ts'
import type { Random } from './id.ts'
import { oneTimeAuth } from './poly1305.ts'
import { release } from './release.ts'

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
  if (iv.length !== ivBytes || isZero(iv)) {
    throw new RepositoryError('invalid-input', 'an IV must be 16 bytes and not all zero')
  }
  const out = Buffer.allocUnsafeSlow(plaintext.length + sealOverhead)
  out.set(iv, 0)
  if (plaintext.length > 0) {
    const cipher = createCipheriv('aes-256-ctr', key.encrypt, iv)
    const ciphertext = cipher.update(plaintext)
    out.set(ciphertext, ivBytes)
    release(ciphertext)
  }
  const end = ivBytes + plaintext.length
  writeMac(key, iv, out.subarray(ivBytes, end), out.subarray(end))
  return out
}

/** The plaintext of `sealed`, once its MAC was found right. Rejects with `damaged`. */
export function open(key: SealingKey, sealed: Uint8Array): Buffer {
  if (!macMatches(key, sealed)) throw damaged('a sealed message fails its MAC')
  const ct = sealed.subarray(ivBytes, sealed.length - macBytes)
  if (ct.length === 0) return Buffer.alloc(0)
  return createDecipheriv('aes-256-ctr', key.encrypt, sealed.subarray(0, ivBytes)).update(ct)
}

/** Whether `sealed` was made under `key`; false also for what is too short or has an all-zero IV. */
export function macMatches(key: SealingKey, sealed: Uint8Array): boolean {
  if (sealed.length < sealOverhead) return false
  const iv = sealed.subarray(0, ivBytes)
  if (isZero(iv)) return false
  const end = sealed.length - macBytes
  const tag = Buffer.alloc(macBytes)
  writeMac(key, iv, sealed.subarray(ivBytes, end), tag)
  return timingSafeEqual(tag, sealed.subarray(end))
}

function writeMac(key: SealingKey, iv: Uint8Array, ct: Uint8Array, tag: Uint8Array): void {
  const oneTimeKey = Buffer.alloc(32)
  oneTimeKey.set(key.macR, 0)
  const pad = createCipheriv('aes-128-ecb', key.macK, null)
  pad.setAutoPadding(false)
  oneTimeKey.set(pad.update(iv), 16)
  oneTimeAuth(tag, ct, oneTimeKey)
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((b) => b === 0)
}
