// The checks both kinds of vault make before they touch anything.
import { HoldfastError } from '../errors.ts'
import { MAX_PACK_BYTES } from '../protocol/calls.ts'
import {
  EMPTY_SHA256,
  leastSignedBytes,
  parseVaultKey,
  removableKinds,
  type VaultKey,
} from './key.ts'

/** Longest life of a signed URL, in seconds: a day, far below S3's week. */
const MAX_URL_SECONDS = 86_400

/** The key's meaning. Throws `invalid` for a key that is none of ours. */
export function requireKey(key: string): VaultKey {
  const parsed = parseVaultKey(key)
  if (parsed === undefined) {
    throw new HoldfastError(
      'invalid',
      `key ${JSON.stringify(key).slice(0, 200)} is not a vault key`,
    )
  }
  return parsed
}

/** Throws `invalid` unless exactly these bytes may be written under this key by a signed URL. */
export function requireSignable(wanted: {
  key: string
  bytes: number
  sha256: string
  md5?: string
  seconds: number
}): void {
  const { kind, sha256 } = requireKey(wanted.key)
  const least = leastSignedBytes[kind]
  if (least === undefined) {
    throw new HoldfastError('invalid', `an object of kind ${kind} is never written by signed URL`)
  }
  if (!Number.isSafeInteger(wanted.bytes) || wanted.bytes < least) {
    throw new HoldfastError(
      'invalid',
      `bytes: ${wanted.bytes} is below ${least}, the least a ${kind} has`,
    )
  }
  if (wanted.bytes > MAX_PACK_BYTES) {
    throw new HoldfastError('invalid', `bytes: ${wanted.bytes} is above ${MAX_PACK_BYTES}`)
  }
  if (!/^[0-9a-f]{64}$/.test(wanted.sha256)) {
    throw new HoldfastError('invalid', 'sha256: must be 64 lower-case hex digits')
  }
  if (wanted.sha256 === EMPTY_SHA256) {
    throw new HoldfastError('invalid', 'sha256: the hash of nothing is never signed')
  }
  if (sha256 !== undefined && sha256 !== wanted.sha256) {
    throw new HoldfastError('invalid', 'sha256: must be the name of the object')
  }
  if (wanted.md5 !== undefined && !/^[0-9a-f]{32}$/.test(wanted.md5)) {
    throw new HoldfastError('invalid', 'md5: must be 32 lower-case hex digits')
  }
  requireSeconds(wanted.seconds)
}

export function requireSeconds(seconds: number): void {
  if (!Number.isSafeInteger(seconds) || seconds < 1 || seconds > MAX_URL_SECONDS) {
    throw new HoldfastError('invalid', `seconds: ${seconds} is not within 1 and ${MAX_URL_SECONDS}`)
  }
}

/** Throws `forbidden` unless objects of this kind may be removed by the control plane. */
export function requireRemovable(key: string): void {
  const { kind } = requireKey(key)
  if (!removableKinds.has(kind)) {
    throw new HoldfastError('forbidden', `an object of kind ${kind} is not removed`)
  }
}
