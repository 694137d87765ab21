// The few DER forms a certificate is made of (ITU-T X.690).

import { isIPv4 } from 'node:net'

function form(tag: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents)
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body])
  const length = Buffer.from(
    body.length.toString(16).padStart(body.length > 0xff ? 4 : 2, '0'),
    'hex',
  )
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, body])
}

export const sequence = (...items: readonly Buffer[]) => form(0x30, ...items)
export const set = (...items: readonly Buffer[]) => form(0x31, ...items)
export const octetString = (bytes: Buffer) => form(0x04, bytes)
export const utf8 = (text: string) => form(0x0c, Buffer.from(text))
export const boolean = (value: boolean) => form(0x01, Buffer.of(value ? 0xff : 0))
/** The last `unused` bits of `bytes` do not belong to it. */
export const bitString = (bytes: Buffer, unused = 0) => form(0x03, Buffer.of(unused), bytes)
/** `[number]`, around whole forms (`explicit`) or in place of a form's own tag. */
export const context = (number: number, contents: Buffer, explicit = false) =>
  form(0x80 | (explicit ? 0x20 : 0) | number, contents)

/** A positive whole number of these big-endian bytes. */
export function integer(bytes: Buffer): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.subarray(start)
  return (digits[0] ?? 0) >= 0x80 ? form(0x02, Buffer.of(0), digits) : form(0x02, digits)
}

export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second, ...others].flatMap((part) => {
    const groups = [part & 0x7f]
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80)
    return groups
  })
  return form(0x06, Buffer.from(bytes))
}

/** RFC 5280 wants two digits for years to 2049 and four from then on. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  return date.getUTCFullYear() < 2050
    ? form(0x17, Buffer.from(digits.slice(2), 'ascii'))
    : form(0x18, Buffer.from(digits, 'ascii'))
}

/** The 4 or 16 bytes of an address. */
export function ipAddress(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number))
  const [head = '', tail] = text.split('::')
  const groups = (part: string) => (part === '' ? [] : part.split(':'))
  const after = groups(tail ?? '')
  const before = groups(head)
  const zeros = tail === undefined ? [] : Array(8 - before.length - after.length).fill('0')
  return Buffer.from(
    [...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join(''),
    'hex',
  )
}
