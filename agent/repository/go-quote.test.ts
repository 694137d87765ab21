import fc from 'fast-check'
import { expect, test } from 'vitest'
import { goString, goStringOfBytes, isUtf8 } from './go-json.ts'
import { goQuote, goUnquote } from './go-quote.ts'

const bytes = (text: string) => Buffer.from(text, 'latin1')

test("quotes as Go's strconv.Quote does", () => {
  const cases: [Buffer, string][] = [
    [bytes('plain name.txt'), 'plain name.txt'],
    [bytes('a"b'), 'a\\"b'],
    [bytes('a\\b'), 'a\\\\b'],
    [bytes('new\nline'), 'new\\nline'],
    [bytes('\x07\x08\x0c\n\r\t\x0b'), '\\a\\b\\f\\n\\r\\t\\v'],
    [bytes('\x01\x1f\x7f'), '\\x01\\x1f\\x7f'],
    [bytes('\xff\xc0\x80'), '\\xff\\xc0\\x80'],
    [bytes('\xed\xa0\x80'), '\\xed\\xa0\\x80'], // a surrogate is no rune
    [bytes('\xf4\x90\x80\x80'), '\\xf4\\x90\\x80\\x80'], // beyond U+10FFFF
    [bytes('\xe2\x82'), '\\xe2\\x82'], // cut off
    [Buffer.from('\u00a0'), '\\u00a0'],
    [Buffer.from('\u{e0001}'), '\\U000e0001'],
    [Buffer.from('\u2028\u200b\ufeff'), '\\u2028\\u200b\\ufeff'],
    [Buffer.from('\ufffd'), '\ufffd'], // the genuine one is printable
    [Buffer.from('äöü 漢字 😀 e\u0301'), 'äöü 漢字 😀 e\u0301'],
    [Buffer.from('lt<'), 'lt<'],
  ]
  for (const [name, quoted] of cases) {
    expect(goQuote(name)).toBe(quoted)
    expect(goUnquote(quoted)?.equals(name)).toBe(true)
  }
})

test('any bytes come back from their quotation', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (name) => {
      expect(goUnquote(goQuote(name))?.equals(name)).toBe(true)
    }),
    { numRuns: 3000 },
  )
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      expect(goUnquote(goQuote(Buffer.from(name)))?.toString()).toBe(name)
    }),
    { numRuns: 3000 },
  )
})

test('reads octal and upper-case hex escapes, and refuses what Go refuses', () => {
  expect(goUnquote('\\101\\377\\xFF\\u00E9')?.toString('latin1')).toBe('A\xff\xff\xc3\xa9')
  const refused = [
    '"',
    'a\nb',
    '\\',
    '\\q',
    "\\'",
    '\\x1',
    '\\x1g',
    '\\u12',
    '\\ud800',
    '\\U00110000',
    '\\400',
    '\\18',
  ]
  for (const bad of refused) expect(goUnquote(bad), bad).toBeUndefined()
})

test("JSON strings are escaped as Go's encoder escapes them", () => {
  expect(goString('a"b\\c\n\r\t\b\f\u0001\u001f')).toBe('"a\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f"')
  expect(goString('<&>')).toBe('"\\u003c\\u0026\\u003e"')
  expect(goString('\u2028\u2029\u007f é 😀')).toBe('"\\u2028\\u2029\u007f é 😀"')
  expect(goStringOfBytes(bytes('ok\xff\xfe!'))).toBe('"ok\\ufffd\\ufffd!"')
  expect(goStringOfBytes(Buffer.from('\ufffd'))).toBe('"\ufffd"')
})

test('knows UTF-8 from what only looks like it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (raw) => {
      const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
      let expected = true
      try {
        strict.decode(raw)
      } catch {
        expected = false
      }
      expect(isUtf8(raw)).toBe(expected)
    }),
    { numRuns: 5000 },
  )
})
