import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bypassesProxy } from './no-proxy.ts'

const cases: [rule: string, url: string, bypasses: boolean][] = [
  ['', 'https://a.example/', false],
  ['*', 'https://a.example/', true],
  ['a.example', 'https://a.example/', true],
  ['a.example', 'https://x.a.example/', true],
  ['a.example', 'https://xa.example/', false],
  ['.a.example', 'https://a.example/', false],
  ['.a.example', 'https://x.a.example/', true],
  ['*.a.example', 'https://x.y.a.example/', true],
  ['A.Example', 'wss://a.EXAMPLE/', true],
  ['a.example.', 'https://a.example/', true],
  ['a.example:443', 'https://a.example/', true],
  ['a.example:443', 'wss://a.example/', true],
  ['a.example:8443', 'https://a.example/', false],
  ['a.example:8443', 'https://a.example:8443/', true],
  ['b.example, a.example', 'https://a.example/', true],
  ['b.example a.example', 'https://a.example/', true],
  ['10.0.0.0/8', 'https://10.1.2.3/', true],
  ['10.0.0.0/8', 'https://11.1.2.3/', false],
  ['10.0.0.0/8', 'https://ten.example/', false],
  ['10.0.0.0/33', 'https://10.1.2.3/', false],
  ['192.0.2.7', 'https://192.0.2.7/', true],
  ['192.0.2.7', 'https://192.0.2.77/', false],
  ['192.0.2.7:8443', 'https://192.0.2.7:8443/', true],
  ['192.0.2.7:8443', 'https://192.0.2.7/', false],
  ['2001:db8::/32', 'https://[2001:db8::1]/', true],
  ['2001:db8::1', 'https://[2001:DB8:0:0::1]/', true],
  ['[2001:db8::1]:8443', 'https://[2001:db8::1]:8443/', true],
  ['[2001:db8::1]:8443', 'https://[2001:db8::1]/', false],
  ['.', 'https://a.example/', false],
]

describe('bypassesProxy', () => {
  it.each(cases)('"%s" for %s: %s', (rule, url, bypasses) => {
    expect(bypassesProxy(new URL(url), rule)).toBe(bypasses)
  })

  it('takes any text as a rule without throwing', () => {
    fc.assert(
      fc.property(fc.string(), (rule) => {
        bypassesProxy(new URL('https://host.example:9/'), rule)
      }),
    )
  })
})
