// The grammar of keys in a vault: what is not written here is never signed, written or read.
import { MIN_INDEX_BYTES, MIN_PACK_BYTES } from '../protocol/calls.ts'

/** What an object is, by its key alone. */
export type VaultKeyKind =
  | 'config'
  | 'pack'
  | 'index'
  | 'key'
  | 'snapshot'
  | 'lock'
  | 'marker'
  | 'escrow'
  | 'receipt'
  | 'log'
  | 'plane'
  | 'probe'

export interface VaultKey {
  readonly kind: VaultKeyKind
  /** The SHA-256 that the bytes must have, where the key names it. */
  readonly sha256?: string
}

const ID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
/** One path segment of our own: never empty, never beginning with a dot. */
const SEGMENT = '[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}'
const HASH = '([0-9a-f]{64})'

const shapes: readonly (readonly [VaultKeyKind, RegExp])[] = [
  ['pack', new RegExp(`^repositories/${ID}/data/[0-9a-f]{2}/${HASH}$`)],
  ['index', new RegExp(`^repositories/${ID}/index/${HASH}$`)],
  ['snapshot', new RegExp(`^repositories/${ID}/snapshots/${HASH}$`)],
  ['lock', new RegExp(`^repositories/${ID}/locks/${HASH}$`)],
  ['key', new RegExp(`^repositories/${ID}/keys/${HASH}$`)],
  ['config', new RegExp(`^repositories/${ID}/config$`)],
  ['marker', /^holdfast\/v1\/vault\.json$/],
  ['escrow', new RegExp(`^holdfast/v1/escrow/${ID}/[0-9]{1,6}\\.age$`)],
  ['receipt', new RegExp(`^holdfast/v1/hosts/${ID}/[0-9]{10}\\.json$`)],
  ['probe', new RegExp(`^holdfast/v1/probe/${ID}/${SEGMENT}$`)],
  ['log', new RegExp(`^holdfast/v1/log(?:/${SEGMENT}){1,12}$`)],
  ['plane', new RegExp(`^holdfast/v1/plane(?:/${SEGMENT}){1,12}$`)],
]

/** What a key means, or undefined if it is none of ours. */
export function parseVaultKey(key: string): VaultKey | undefined {
  for (const [kind, shape] of shapes) {
    const match = shape.exec(key)
    if (match === null) continue
    const sha256 = match[1]
    if (sha256 === undefined) return { kind }
    if (kind === 'pack' && !key.includes(`/data/${sha256.slice(0, 2)}/`)) return undefined
    return { kind, sha256 }
  }
  return undefined
}

/**
 * Kinds that hosts write by signed URL, with the fewest bytes each may have: the overhead of an empty
 * pack and of an empty sealed file. An empty body is never signed: with the hash of nothing, a copy
 * smuggled onto the URL succeeds on unpatched Ceph (CVE-2026-54330).
 */
export const leastSignedBytes: Readonly<Partial<Record<VaultKeyKind, number>>> = {
  pack: MIN_PACK_BYTES,
  index: MIN_INDEX_BYTES,
  probe: 1,
}

/**
 * Kinds the control plane itself may remove: locks and its own probes, and what retention and prune gave up. Config,
 * keys, escrows, receipts and the log are never removed.
 */
export const removableKinds: ReadonlySet<VaultKeyKind> = new Set([
  'lock',
  'probe',
  'snapshot',
  'index',
  'pack',
])

/** SHA-256 of no bytes at all: refused wherever a URL is signed. */
export const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** A prefix that a listing may ask for: whole segments, each ending in a slash; or everything. */
const PREFIX = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\/){0,16}$/
export function isVaultPrefix(prefix: string): boolean {
  return PREFIX.test(prefix)
}
