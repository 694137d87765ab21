// JSON as Go's encoding/json writes and reads it, because tree blobs are named by the hash of that text.
import { damaged, RepositoryError } from './errors.ts'

/** A JSON object out of foreign bytes. */
export type JsonObject = { readonly [key: string]: unknown }

const plainAscii = /^[\x20\x21\x23-\x25\x27-\x3b\x3d\x3f-\x5b\x5d-\x7f]*$/

const short: { readonly [code: number]: string } = {
  8: '\\b',
  9: '\\t',
  10: '\\n',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
}

/** `text` as a JSON string with its quotes. Lone surrogates cannot occur: callers decode bytes with `runes`. */
export function goString(text: string): string {
  if (plainAscii.test(text)) return `"${text}"`
  let out = '"'
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const escaped = short[code]
    if (escaped !== undefined) out += escaped
    else if (code < 0x20 || code === 0x3c || code === 0x3e || code === 0x26) {
      out += `\\u00${code.toString(16).padStart(2, '0')}`
    } else if (code === 0x2028 || code === 0x2029) out += `\\u${code.toString(16)}`
    else out += text[i]
  }
  return `${out}"`
}

/** Raw bytes as a JSON string: each byte that is not UTF-8 becomes the six characters `\ufffd`, as in Go. */
export function goStringOfBytes(bytes: Uint8Array): string {
  let out = ''
  let valid = ''
  for (const { rune, invalid } of runes(bytes)) {
    if (invalid === undefined) valid += String.fromCodePoint(rune)
    else {
      out += `${goString(valid).slice(1, -1)}\\ufffd`
      valid = ''
    }
  }
  return `"${out}${goString(valid).slice(1, -1)}"`
}

/** Whether `bytes` are well-formed UTF-8. */
export function isUtf8(bytes: Uint8Array): boolean {
  for (const { invalid } of runes(bytes)) if (invalid !== undefined) return false
  return true
}

/** The runes of `bytes` as Go's decoder sees them: an ill-formed sequence yields its first byte as `invalid`. */
export function* runes(bytes: Uint8Array): Generator<{ rune: number; invalid?: number }> {
  for (let i = 0; i < bytes.length; ) {
    const first = bytes[i]!
    const size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    let rune = size === 1 ? first : first & (0xff >> (size + 1))
    let good = size > 0 && first < 0xf5 && i + size <= bytes.length
    for (let k = 1; good && k < size; k++) {
      const next = bytes[i + k]!
      good = (next & 0xc0) === 0x80
      rune = (rune << 6) | (next & 0x3f)
    }
    if (good && size === 3) good = rune >= 0x800 && (rune < 0xd800 || rune > 0xdfff)
    if (good && size === 4) good = rune >= 0x10000 && rune <= 0x10ffff
    if (good) {
      yield { rune }
      i += size
    } else {
      yield { rune: 0xfffd, invalid: first }
      i += 1
    }
  }
}

/** Foreign JSON text that must hold one object. Numbers stay exact only below 2^53: see `parseExact`. */
export function parseObject(bytes: Uint8Array, what: string): JsonObject {
  return asObject(parse(textOf(bytes, what), what), what)
}

const longNumber = /[:\s[,-]\d{16,}/

/** As `parseObject`, with every integer beyond 2^53 kept exact as a bigint. */
export function parseExact(bytes: Uint8Array, what: string): JsonObject {
  const text = textOf(bytes, what)
  // The slow reviver runs only where a run of digits is long enough to lose precision.
  const value = longNumber.test(text) ? parse(text, what, keepBigIntegers) : parse(text, what)
  return asObject(value, what)
}

function keepBigIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const source = context?.source
  return source !== undefined && /^-?\d{1,20}$/.test(source) ? BigInt(source) : value
}

function textOf(bytes: Uint8Array, what: string): string {
  try {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  } catch (cause) {
    throw new RepositoryError('too-large', `${what} is too long to be read`, { cause })
  }
}

function parse(
  text: string,
  what: string,
  reviver?: (key: string, value: unknown, context?: { source?: string }) => unknown,
): unknown {
  try {
    return JSON.parse(text, reviver)
  } catch {
    // The parser's own message quotes the text, which may hold file names.
    throw damaged(`${what} is not JSON`)
  }
}

export function asObject(value: unknown, what: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw damaged(`${what} is not a JSON object`)
  }
  return value as JsonObject
}

/** A field by its name, or by the same name in other case, as Go matches them. Null counts as missing. */
export function field(object: JsonObject, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name] ?? undefined
  for (const key of Object.keys(object)) {
    if (key.length === name.length && key.toLowerCase() === name) return object[key] ?? undefined
  }
  return undefined
}

export function stringField(object: JsonObject, name: string, what: string): string | undefined {
  const value = field(object, name)
  if (value === undefined || typeof value === 'string') return value
  throw damaged(`${what}: field ${name} is not a string`)
}

/** An unsigned integer of up to `bits` bits as a bigint. */
export function bigintField(
  object: JsonObject,
  name: string,
  what: string,
  bits = 64,
): bigint | undefined {
  const value = field(object, name)
  if (value === undefined) return undefined
  const whole =
    typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
  if (whole) {
    const big = BigInt(value as number | bigint)
    if (big >= 0n && big < 1n << BigInt(bits)) return big
  }
  throw damaged(`${what}: field ${name} is not an unsigned number of ${bits} bits`)
}

/** An unsigned 32-bit integer. */
export function uintField(object: JsonObject, name: string, what: string): number | undefined {
  const value = field(object, name)
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff) {
    return value
  }
  throw damaged(`${what}: field ${name} is not an unsigned number of 32 bits`)
}

export function listField(
  object: JsonObject,
  name: string,
  what: string,
): readonly unknown[] | undefined {
  const value = field(object, name)
  if (value === undefined) return undefined
  if (!Array.isArray(value)) throw damaged(`${what}: field ${name} is not a list`)
  return value
}

export function stringListField(object: JsonObject, name: string, what: string): string[] {
  return (listField(object, name, what) ?? []).map((item) => {
    if (typeof item !== 'string') throw damaged(`${what}: field ${name} holds a non-string`)
    return item
  })
}

/** Standard base64, as Go reads a `[]byte`: padding needed, line breaks ignored. */
export function base64Field(object: JsonObject, name: string, what: string): Buffer | undefined {
  const text = stringField(object, name, what)?.replaceAll(/[\r\n]/g, '')
  if (text === undefined) return undefined
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw damaged(`${what}: field ${name} is not base64`)
  }
  return Buffer.from(text, 'base64')
}
