// Irreducible polynomials over GF(2), which make each repository's chunk borders its own.
import { damaged } from './errors.ts'
import type { Random } from './id.ts'

/** The degree restic uses: the largest prime below 64 − 8, so that a digest and one byte fit 64 bits. */
export const polynomialDegree = 53

/** The degree of `p`, −1 for zero. */
export function degree(p: bigint): number {
  if (p === 0n) return -1
  const hex = p.toString(16)
  // Every mover tests a polynomial as it starts, with some ten thousand questions of this kind.
  return hex.length * 4 - Math.clz32(Number.parseInt(hex[0]!, 16)) + 27
}

/** The remainder of `a` divided by `m` over GF(2). */
export function mod(a: bigint, m: bigint): bigint {
  const dm = degree(m)
  let rest = a
  for (let d = degree(rest); d >= dm; d = degree(rest)) rest ^= m << BigInt(d - dm)
  return rest
}

/** The square of `a` modulo `m`: over GF(2) squaring only spreads the bits. */
function squareMod(a: bigint, m: bigint): bigint {
  let spread = 0n
  for (let bits = a, at = 0n; bits > 0n; bits >>= 1n, at += 2n) {
    if (bits & 1n) spread |= 1n << at
  }
  return mod(spread, m)
}

function gcd(a: bigint, b: bigint): bigint {
  let x = a
  let y = b
  while (y !== 0n) [x, y] = [y, mod(x, y)]
  return x
}

/** Ben-Or's test: no factor of degree i divides x^(2^i) − x, for every i up to half the degree. */
export function isIrreducible(f: bigint): boolean {
  const d = degree(f)
  if (d < 1) return false
  let power = 2n // x
  for (let i = 1; i <= d >> 1; i++) {
    power = squareMod(power, f)
    if (gcd(f, power ^ 2n) !== 1n) return false
  }
  return true
}

/** A random irreducible polynomial of degree 53, odd. About 27 tries. */
export function randomPolynomial(random: Random): bigint {
  const top = 1n << BigInt(polynomialDegree)
  for (;;) {
    const f = (random(8).readBigUInt64LE() & (top - 1n)) | top | 1n
    if (isIrreducible(f)) return f
  }
}

/** The polynomial out of a config file: hex without prefix, degree 53, irreducible. */
export function parsePolynomial(text: unknown): bigint {
  if (typeof text !== 'string' || !/^[0-9a-fA-F]{1,16}$/.test(text)) {
    throw damaged('the chunker polynomial is not a hex number')
  }
  const f = BigInt(`0x${text}`)
  if (degree(f) !== polynomialDegree || !isIrreducible(f)) {
    throw damaged('the chunker polynomial is not irreducible of degree 53')
  }
  return f
}
