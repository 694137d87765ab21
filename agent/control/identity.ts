// The host's own keys: Ed25519 to prove who it is, age to receive what is meant for it alone.
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { toHex } from '../../shared/bytes.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { writeWhole } from '../state/write-file.ts'

/** Length of the raw key at the end of the SPKI form of an Ed25519 public key (RFC 8410). */
const RAW_KEY_BYTES = 32

export interface Identity {
  /** Ed25519 public key, 64 hex digits. */
  readonly publicKey: string
  /** Ed25519 signature, 128 hex digits. */
  sign(bytes: Uint8Array): string
}

function identityOf(key: KeyObject): Identity {
  const jwk = key.export({ format: 'jwk' }) as { x?: string }
  const raw = Buffer.from(jwk.x ?? '', 'base64url')
  if (key.asymmetricKeyType !== 'ed25519' || raw.length !== RAW_KEY_BYTES) {
    throw new HoldfastError('invalid', 'the identity file does not hold an Ed25519 key')
  }
  return { publicKey: toHex(raw), sign: (bytes) => toHex(sign(null, bytes, key)) }
}

/** The key in `path` (PKCS #8 PEM); made there first if the file is absent. */
export function loadOrMakeIdentity(path: string): Identity {
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync('ed25519')
    writeWhole(path, privateKey.export({ format: 'pem', type: 'pkcs8' }) as string)
  }
  return loadIdentity(path)
}

/** The key in `path`. Throws `invalid` if it is none. */
export function loadIdentity(path: string): Identity {
  try {
    return identityOf(createPrivateKey(readFileSync(path)))
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause
    throw new HoldfastError('invalid', `identity file ${path}: cannot be read as a private key`, {
      hint: 'the host must be enrolled again with a new state directory',
      cause,
    })
  }
}

/**
 * Tells this machine from another one that was given a copy of the same state directory: a hash of
 * the firmware's id (the same inside and outside a container), else of the operating system's, else
 * of the host name; never the id itself.
 */
export function machineId(): string {
  for (const path of ['/sys/class/dmi/id/product_uuid', '/etc/machine-id']) {
    const text = readIfThere(path)
    if (text !== '') return hashOf(path, text)
  }
  return hashOf('hostname', hostname())
}

function hashOf(what: string, text: string): string {
  return createHash('sha256').update(`holdfast-machine/1\n${what}\n${text}\n`).digest('hex')
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return '' // absent, or not ours to read: the next one will do
  }
}
