// The values in the text of a tree, read from its bytes in the form in which they are written, and in no other.

const quote = 0x22
const comma = 0x2c
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const zero = 0x30
/** Hex digits of an id. */
const idLength = 64
/** From one id in quotes to the next. */
export const idStep = idLength + 3

/** Whether a byte stands for itself both in Go's quoting and in its JSON, which escapes what HTML minds. */
const isPlainLetter = new Uint8Array(256).fill(1, 0x20, 0x7f)
for (const letter of Buffer.from('"\\&<>')) isPlainLetter[letter] = 0
/** Whether a byte is a lower-case hex digit. */
const isHex = new Uint8Array(256)
for (const digit of Buffer.from('0123456789abcdef')) isHex[digit] = 1

/** Reads on from `at`. What is not as it must be answers false, and leaves `at` anywhere. */
export class TreeScanner {
  readonly text: Buffer
  at = 0
  /** The number last read, or the seconds since 1970 of a time. */
  value = 0
  /** Of the time last read. */
  nanoseconds = 0

  constructor(text: Buffer) {
    this.text = text
  }

  /** Whether these bytes stand at `at`. */
  isAt(at: number, bytes: Buffer): boolean {
    const { text } = this
    for (let i = 0; i < bytes.length; i++) if (text[at + i] !== bytes[i]) return false
    return true
  }

  /** Past these bytes; if others stand here, false, and `at` stays. */
  literal(bytes: Buffer): boolean {
    if (!this.isAt(this.at, bytes)) return false
    this.at += bytes.length
    return true
  }

  /** The same bytes as `length` of them at `from`. */
  same(from: number, length: number): boolean {
    const { text } = this
    for (let i = 0; i < length; i++) if (text[from + i] !== text[this.at + i]) return false
    this.at += length
    return true
  }

  /** A string in plain letters that may be missing. */
  optionalString(before: Buffer): boolean {
    if (!this.literal(before)) return true
    const { text } = this
    for (let at = this.at; ; at++) {
      const byte = text[at]
      if (byte === quote) {
        this.at = at + 1
        return true
      }
      if (byte === undefined || isPlainLetter[byte] !== 1) return false
    }
  }

  /** A number of 32 bits. */
  word(): boolean {
    return this.number(10) && this.value <= 0xffff_ffff
  }

  /** Up to `most` digits without a zero in front. */
  number(most: number): boolean {
    const { text } = this
    let value = 0
    let at = this.at
    for (; at - this.at <= most; at++) {
      const digit = text[at]! - zero
      if (!(digit >= 0 && digit <= 9)) break
      value = value * 10 + digit
    }
    const digits = at - this.at
    if (digits === 0 || digits > most || (digits > 1 && text[this.at] === zero)) return false
    this.value = value
    this.at = at
    return true
  }

  /** So many digits of a time; −1 if there are others. */
  #digits(at: number, count: number): number {
    let value = 0
    for (let i = 0; i < count; i++) {
      const digit = this.text[at + i]! - zero
      if (!(digit >= 0 && digit <= 9)) return -1
      value = value * 10 + digit
    }
    return value
  }

  /** `2026-11-23T17:30:41.105311517Z`, the fraction without zeros at its end. */
  time(): boolean {
    const { text } = this
    const at = this.at
    const year = this.#digits(at, 4)
    const month = this.#digits(at + 5, 2)
    const day = this.#digits(at + 8, 2)
    const hour = this.#digits(at + 11, 2)
    const minute = this.#digits(at + 14, 2)
    const second = this.#digits(at + 17, 2)
    const shaped =
      text[at + 4] === 0x2d &&
      text[at + 7] === 0x2d &&
      text[at + 10] === 0x54 &&
      text[at + 13] === 0x3a &&
      text[at + 16] === 0x3a
    // Years at the edges are where longer ones are clamped to.
    const real =
      year > 0 &&
      year < 9999 &&
      month >= 1 &&
      month <= 12 &&
      day >= 1 &&
      day <= monthDays(year, month)
    const timed = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60
    if (!shaped || !real || !timed) return false
    this.value = daysSince1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
    this.at = at + 19
    return this.#fraction()
  }

  #fraction(): boolean {
    const { text } = this
    this.nanoseconds = 0
    if (text[this.at] === 0x2e) {
      let at = this.at + 1
      let value = 0
      let scale = 1_000_000_000
      for (; scale > 1; at++) {
        const digit = text[at]! - zero
        if (!(digit >= 0 && digit <= 9)) break
        value = value * 10 + digit
        scale /= 10
      }
      if (value === 0 || text[at - 1] === zero) return false
      this.nanoseconds = value * scale
      this.at = at
    }
    if (text[this.at] !== 0x5a) return false
    this.at++
    return true
  }

  /** Ids in quotes, a comma between two; none is fine too. */
  ids(): boolean {
    const { text } = this
    let at = this.at
    while (text[at] === quote) {
      for (let i = 1; i <= idLength; i++) if (isHex[text[at + i]!] !== 1) return false
      if (text[at + idLength + 1] !== quote) return false
      at += idLength + 2
      if (text[at] !== comma) break
      at++
      if (text[at] !== quote) return false
    }
    this.at = at
    return true
  }

  /** To the end of whatever begins at `start`: brackets counted, strings passed over. */
  skip(start: number): boolean {
    const { text } = this
    let depth = 0
    for (let at = start; at < text.length; at++) {
      const byte = text[at]
      if (byte === quote) {
        for (at++; at < text.length && text[at] !== quote; at++) if (text[at] === backslash) at++
      } else if (byte === openBrace || byte === openBracket) depth++
      else if (byte === closeBrace || byte === closeBracket) {
        depth--
        if (depth === 0) {
          this.at = at + 1
          return true
        }
      }
    }
    return false
  }
  /**
   * To the end of a string whose inside begins at `at`: its quote, or the end of the text. Whether every
   * letter in it stands for itself.
   */
  letters(): boolean {
    const { text } = this
    let simple = true
    for (let { at } = this; ; at++) {
      const byte = text[at]
      this.at = at
      if (byte === undefined || byte === quote) return simple
      if (byte === backslash) {
        simple = false
        at++
      } else if (isPlainLetter[byte] !== 1) simple = false
    }
  }
}

const daysBefore = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

function monthDays(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** By the calendar of today, carried back. */
function daysSince1970(year: number, month: number, day: number): number {
  const before = year - 1
  const leaps = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400)
  const thisLeap = month > 2 && isLeap(year) ? 1 : 0
  return before * 365 + leaps - 719_162 + daysBefore[month - 1]! + thisLeap + day - 1
}
