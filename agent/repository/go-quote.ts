// File names as restic stores them: raw bytes quoted by the rules of Go's strconv.Quote.
import { runes } from './go-json.ts'

const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u

const letters: { readonly [code: number]: string } = {
  7: '\\a',
  8: '\\b',
  9: '\\t',
  10: '\\n',
  11: '\\v',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
}

/**
 * The raw name quoted, without the outer quotes. Code points that Unicode assigned after Go's tables (15.0 in
 * Go 1.24) stay raw here and are `\U…` in restic; both read back the same.
 */
export function goQuote(name: Uint8Array): string {
  const latin = Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1')
  if (plain.test(latin)) return latin
  let out = ''
  for (const { rune, invalid } of runes(name)) {
    if (invalid !== undefined) {
      out += `\\x${hex(invalid, 2)}`
      continue
    }
    const letter = letters[rune]
    if (letter !== undefined) out += letter
    else if (rune < 0x20 || rune === 0x7f) out += `\\x${hex(rune, 2)}`
    else {
      const text = String.fromCodePoint(rune)
      if (rune === 0x20 || printable.test(text)) out += text
      else out += rune < 0x10000 ? `\\u${hex(rune, 4)}` : `\\U${hex(rune, 8)}`
    }
  }
  return out
}

function hex(n: number, width: number): string {
  return n.toString(16).padStart(width, '0')
}

const unquoted: { readonly [letter: string]: number } = {
  a: 0x07,
  b: 0x08,
  t: 0x09,
  n: 0x0a,
  v: 0x0b,
  f: 0x0c,
  r: 0x0d,
  '"': 0x22,
  '\\': 0x5c,
}

const digits: { readonly [letter: string]: number } = { x: 2, u: 4, U: 8 }

/** The raw bytes of a quoted name, or undefined where Go's strconv.Unquote would refuse the text. */
export function goUnquote(text: string): Buffer | undefined {
  if (plain.test(text)) return Buffer.from(text, 'latin1')
  const parts: Buffer[] = []
  let from = 0
  for (let i = 0; i < text.length; ) {
    const c = text[i]!
    if (c === '"' || c === '\n') return undefined
    if (c !== '\\') {
      i++
      continue
    }
    if (i > from) parts.push(Buffer.from(text.slice(from, i)))
    const letter = text[i + 1] ?? ''
    const code = unquoted[letter]
    if (code !== undefined) {
      parts.push(Buffer.of(code))
      i += 2
    } else if (digits[letter] !== undefined) {
      const end = i + 2 + digits[letter]
      const body = text.slice(i + 2, end)
      if (body.length !== digits[letter] || !/^[0-9a-fA-F]+$/.test(body)) return undefined
      const value = Number.parseInt(body, 16)
      if (letter === 'x') parts.push(Buffer.of(value))
      else if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return undefined
      else parts.push(Buffer.from(String.fromCodePoint(value)))
      i = end
    } else {
      const octal = /^[0-7]{3}/.exec(text.slice(i + 1, i + 4))?.[0]
      if (octal === undefined || Number.parseInt(octal, 8) > 255) return undefined
      parts.push(Buffer.of(Number.parseInt(octal, 8)))
      i += 4
    }
    from = i
  }
  if (from < text.length) parts.push(Buffer.from(text.slice(from)))
  return Buffer.concat(parts)
}
