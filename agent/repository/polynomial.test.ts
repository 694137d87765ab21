import { expect, test } from 'vitest'
import { systemRandom } from './id.ts'
import { degree, isIrreducible, mod, parsePolynomial, randomPolynomial } from './polynomial.ts'

function multiply(a: bigint, b: bigint): bigint {
  let product = 0n
  for (let i = 0n; b >> i > 0n; i++) if ((b >> i) & 1n) product ^= a << i
  return product
}

test('agrees with trial division about every polynomial up to degree 11', () => {
  for (let f = 2n; f < 1n << 12n; f++) {
    let hasFactor = false
    for (let g = 2n; degree(g) * 2 <= degree(f) && !hasFactor; g++) hasFactor = mod(f, g) === 0n
    expect(isIrreducible(f)).toBe(!hasFactor)
  }
})

test('makes polynomials of degree 53 that its own check and parser accept', () => {
  for (let i = 0; i < 20; i++) {
    const f = randomPolynomial(systemRandom)
    expect(degree(f)).toBe(53)
    expect(isIrreducible(f)).toBe(true)
    expect(parsePolynomial(f.toString(16))).toBe(f)
    expect(parsePolynomial(f.toString(16).toUpperCase())).toBe(f)
  }
})

test("accepts restic's example polynomial", () => {
  expect(parsePolynomial('3da3358b4dc173')).toBe(0x3da3358b4dc173n)
})

test('refuses products, other degrees and what is no number', () => {
  const product = multiply(0x3da3358b4dc173n >> 30n, (1n << 30n) | 1n)
  expect(degree(product)).toBe(53)
  for (const bad of [
    product.toString(16),
    '3',
    '',
    '0x3da3358b4dc173',
    'zz',
    null,
    5,
    'f'.repeat(17),
  ]) {
    expect(() => parsePolynomial(bad)).toThrow('polynomial')
  }
})
