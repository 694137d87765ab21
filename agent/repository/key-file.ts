// Key files: the master key, sealed under a password. Each password of a repository has its own file.
import { scrypt } from 'node:crypto'
import { assertUsableKey, macMatches, open, type SealingKey, seal } from './cipher.ts'
import { damaged, RepositoryError } from './errors.ts'
import { base64Field, goString, parseObject, stringField, uintField } from './go-json.ts'
import type { Random } from './id.ts'
import { formatTime, fromMilliseconds } from './time.ts'

/** The costs of scrypt. */
export interface ScryptCost {
  readonly N: number
  readonly r: number
  readonly p: number
}

/** What stock restic calibrates to on an ordinary machine (32 MiB, about 0.1 s); our passwords have 256 bits anyway. */
export const usualCost: ScryptCost = { N: 32768, r: 8, p: 1 }

const saltBytes = 64
/** Key files are a few hundred bytes; beyond this one is not worth parsing. */
export const keyFileLimit = 8 * 1024
/** A foreign file must not make us spend more than this: 1 GiB of memory, about 10 s of work. */
const memoryLimit = 1024 * 1024 * 1024
const workLimit = 2 ** 25 // N · r · p; the usual cost is 2^18

/** A fresh master key: three parts, none all zero. */
export function randomMasterKey(random: Random): SealingKey {
  const key = { encrypt: random(32), macK: random(16), macR: random(16) }
  assertUsableKey(key)
  return key
}

/** The key that a password and salt yield: 64 bytes of scrypt, cut into 32, 16 and 16. */
export async function passwordKey(
  password: string,
  salt: Uint8Array,
  cost: ScryptCost,
): Promise<SealingKey> {
  const { N, r, p } = cost
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    const options = { N, r, p, maxmem: 256 * N * r + 256 * r * p }
    scrypt(Buffer.from(password, 'utf8'), salt, 64, options, (error, key) =>
      error ? reject(damaged('a key file asks for impossible scrypt costs', error)) : resolve(key),
    )
  })
  return {
    encrypt: bytes.subarray(0, 32),
    macK: bytes.subarray(32, 48),
    macR: bytes.subarray(48, 64),
  }
}

export interface KeyFileFields {
  readonly password: string
  readonly masterKey: SealingKey
  /** Milliseconds since 1970. */
  readonly created: number
  readonly username: string
  readonly hostname: string
  readonly random: Random
  /** Defaults to `usualCost`. */
  readonly cost?: ScryptCost
}

/** The bytes of a key file; its name is their SHA-256. */
export async function encodeKeyFile(fields: KeyFileFields): Promise<Buffer> {
  const { masterKey, random, cost = usualCost } = fields
  const salt = random(saltBytes)
  const userKey = await passwordKey(fields.password, salt, cost)
  const k = masterKey.macK.toString('base64')
  const r = masterKey.macR.toString('base64')
  const encrypt = masterKey.encrypt.toString('base64')
  const secret = Buffer.from(`{"mac":{"k":"${k}","r":"${r}"},"encrypt":"${encrypt}"}`)
  const data = seal(userKey, secret, random)
  return Buffer.from(
    `{"created":"${formatTime(fromMilliseconds(fields.created))}"` +
      `,"username":${goString(fields.username)},"hostname":${goString(fields.hostname)}` +
      `,"kdf":"scrypt","N":${cost.N},"r":${cost.r},"p":${cost.p}` +
      `,"salt":"${salt.toString('base64')}","data":"${data.toString('base64')}"}`,
  )
}

interface SealedKeyFile {
  readonly cost: ScryptCost
  readonly salt: Buffer
  readonly data: Buffer
}

/**
 * What a key file says in the clear: enough to tell one from anything else without its password. Rejects with
 * `damaged`, `unsupported-version` or `too-large`.
 */
export function parseKeyFile(bytes: Uint8Array): SealedKeyFile {
  if (bytes.length > keyFileLimit) {
    throw new RepositoryError('too-large', `a key file has ${bytes.length} bytes`)
  }
  const what = 'a key file'
  const json = parseObject(bytes, what)
  if (stringField(json, 'kdf', what) !== 'scrypt') {
    throw new RepositoryError('unsupported-version', 'a key file uses another function than scrypt')
  }
  const N = keyNumber(json, 'N')
  const r = keyNumber(json, 'r')
  const p = keyNumber(json, 'p')
  if (N < 2 || (N & (N - 1)) !== 0 || r < 1 || p < 1) {
    throw damaged('a key file asks for impossible scrypt costs')
  }
  if (128 * N * r > memoryLimit || N * r * p > workLimit) {
    throw new RepositoryError('too-large', 'a key file asks for too much memory or work')
  }
  const salt = base64Field(json, 'salt', what)
  const data = base64Field(json, 'data', what)
  if (salt?.length !== saltBytes || data === undefined) throw damaged(`${what} lacks salt or data`)
  return { cost: { N, r, p }, salt, data }
}

/**
 * The master key inside a key file, or undefined if the password is another file's.
 * Rejects as `parseKeyFile` does, and with `damaged` for what is no master key.
 */
export async function openKeyFile(
  bytes: Uint8Array,
  password: string,
): Promise<SealingKey | undefined> {
  const { cost, salt, data } = parseKeyFile(bytes)
  const userKey = await passwordKey(password, salt, cost)
  // A wrong MAC is the one thing that means "another password" and not "damaged".
  if (!macMatches(userKey, data)) return undefined
  return masterKeyOf(open(userKey, data))
}

function keyNumber(json: ReturnType<typeof parseObject>, name: string): number {
  // `N` differs from `n` in case only, so look for the exact field; costs are always there.
  return uintField({ [name]: json[name] }, name, 'a key file') ?? 0
}

function masterKeyOf(secret: Buffer): SealingKey {
  const what = 'a sealed master key'
  const json = parseObject(secret, what)
  const mac = parseObject(Buffer.from(JSON.stringify(json.mac ?? {})), what)
  const key = {
    encrypt: base64Field(json, 'encrypt', what) ?? Buffer.alloc(0),
    macK: base64Field(mac, 'k', what) ?? Buffer.alloc(0),
    macR: base64Field(mac, 'r', what) ?? Buffer.alloc(0),
  }
  assertUsableKey(key)
  return key
}
