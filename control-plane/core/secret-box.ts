// Secrets at rest: AES-256-GCM under keys derived from the master keys, by Web Crypto.
import { concatBytes, fromBase64, sha256Hex, toBase64, utf8 } from '../../shared/bytes.ts'
import type { Random } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { SecretBox } from '../ports/secret-box.ts'

/** Bytes of a master key, of a GCM nonce, and hex digits of a key's name. */
export const MASTER_KEY_BYTES = 32
const NONCE_BYTES = 12
const KEY_NAME_DIGITS = 16

/** `hfs1.<key name>.<base64 of nonce and ciphertext>`. */
const SEALED = /^hfs1\.([0-9a-f]{16})\.([A-Za-z0-9+/=]+)$/

/**
 * A key for one purpose, from a master key by HKDF-SHA-256 (RFC 5869). Nothing else of the master key
 * is ever used, so that what leaks of one purpose tells nothing of another.
 */
export async function deriveKey(master: Uint8Array, purpose: string): Promise<Uint8Array> {
  if (master.length !== MASTER_KEY_BYTES) {
    throw new HoldfastError('invalid', `a master key has ${MASTER_KEY_BYTES} bytes`)
  }
  const material = await crypto.subtle.importKey('raw', lent(master), 'HKDF', false, ['deriveBits'])
  const how = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: utf8(purpose) }
  return new Uint8Array(await crypto.subtle.deriveBits(how, material, 256))
}

/** The purpose of the key that signs a disk vault's URLs. */
export const VAULT_URL_PURPOSE = 'holdfast/vault-url/1'

/**
 * Seals under the first of `masterKeys` and opens under any of them: to rotate, put a new key first and
 * keep the old ones behind it until everything was sealed again.
 */
export async function createSecretBox(deps: {
  masterKeys: readonly Uint8Array[]
  random: Random
}): Promise<SecretBox> {
  const keys = new Map<string, Awaited<ReturnType<typeof importSealingKey>>>()
  for (const master of deps.masterKeys) {
    const bytes = await deriveKey(master, 'holdfast/secret-box/1')
    const name = (await sha256Hex(concatBytes(utf8('holdfast/key-name/1\n'), bytes))).slice(
      0,
      KEY_NAME_DIGITS,
    )
    keys.set(name, await importSealingKey(bytes))
  }
  const [current] = keys
  if (current === undefined) throw new HoldfastError('invalid', 'a master key is needed')
  const [currentName, currentKey] = current

  return {
    async seal(plaintext, place) {
      const iv = lent(deps.random.bytes(NONCE_BYTES))
      const how = { name: 'AES-GCM', iv, additionalData: placeBytes(currentName, place) }
      const sealed = await crypto.subtle.encrypt(how, currentKey, utf8(plaintext))
      return `hfs1.${currentName}.${toBase64(concatBytes(iv, new Uint8Array(sealed)))}`
    },

    async open(sealed, place) {
      const [, name = '', text = ''] = SEALED.exec(sealed) ?? []
      const key = keys.get(name)
      if (key === undefined) {
        throw new HoldfastError(
          'internal',
          'a stored secret was sealed under a key we do not have',
          {
            hint: 'add the old key behind the current one in HOLDFAST_MASTER_KEY',
          },
        )
      }
      try {
        const bytes = fromBase64(text)
        const iv = bytes.subarray(0, NONCE_BYTES)
        const how = { name: 'AES-GCM', iv, additionalData: placeBytes(name, place) }
        const plain = await crypto.subtle.decrypt(how, key, bytes.subarray(NONCE_BYTES))
        return new TextDecoder('utf-8', { fatal: true }).decode(plain)
      } catch {
        throw new HoldfastError('internal', 'a stored secret was moved or altered')
      }
    },
  }
}

function importSealingKey(bytes: Uint8Array) {
  return crypto.subtle.importKey('raw', lent(bytes), 'AES-GCM', false, ['encrypt', 'decrypt'])
}

function placeBytes(keyName: string, place: string): Uint8Array<ArrayBuffer> {
  return utf8(`holdfast-secret/1\n${keyName}\n${place}`)
}

/** Web Crypto's types want to know that no other thread writes: none does. */
function lent(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}
