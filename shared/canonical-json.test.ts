import { describe, expect, it } from 'vitest'
import { canonicalJson } from './canonical-json.ts'

describe('canonical JSON', () => {
  it('has one spelling whatever the order of the keys', () => {
    const spelled = '{"a":[1,true,null,"x"],"b":{"c":-5,"é":"\\u0001"}}'
    expect(canonicalJson({ b: { é: '\u0001', c: -5 }, a: [1, true, null, 'x'] })).toBe(spelled)
    expect(canonicalJson(JSON.parse(spelled))).toBe(spelled)
  })

  it('sorts by UTF-16 code unit, as RFC 8785 does', () => {
    expect(canonicalJson({ '\ufb33': 1, '\ud83d\ude00': 2, '\u20ac': 3, '1': 4, '\r': 5 })).toBe(
      '{"\\r":5,"1":4,"\u20ac":3,"\ud83d\ude00":2,"\ufb33":1}',
    )
  })

  it('leaves undefined members out and refuses numbers with two spellings', () => {
    expect(canonicalJson({ a: undefined, b: 0 })).toBe('{"b":0}')
    for (const number of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(() => canonicalJson({ number }), String(number)).toThrow(TypeError)
    }
  })
})
