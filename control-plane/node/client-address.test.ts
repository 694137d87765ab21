import { describe, expect, it } from 'vitest'
import { clientAddress, isLoopback, parseProxies } from './client-address.ts'

const trusted = parseProxies('10.0.0.0/8, 2001:db8::/32')

describe('the address of a client', () => {
  it.each([
    ['nobody is trusted and a header is sent', '203.0.113.9', '1.1.1.1', '203.0.113.9'],
    ['a trusted proxy forwards', '10.1.2.3', '203.0.113.9', '203.0.113.9'],
    ['the client wrote a header itself', '10.1.2.3', '127.0.0.1, 203.0.113.9', '203.0.113.9'],
    ['two proxies stand in a row', '10.1.2.3', '203.0.113.9, 10.9.9.9', '203.0.113.9'],
    ['the proxy says nothing', '10.1.2.3', undefined, '10.1.2.3'],
    ['the proxy says nonsense', '10.1.2.3', 'unknown', '10.1.2.3'],
    ['everything on the way is trusted', '10.1.2.3', '10.4.4.4', '10.4.4.4'],
    ['IPv4 arrives on a dual-stack socket', '::ffff:10.1.2.3', '203.0.113.9', '203.0.113.9'],
    ['the proxy speaks IPv6', '2001:db8::1', '2001:4860::8', '2001:4860::8'],
    ['there is no peer', undefined, undefined, 'unknown'],
  ])('when %s', (_when, peer, header, expected) => {
    expect(clientAddress(peer, header, trusted)).toBe(expected)
  })
})

describe('trusted proxies', () => {
  it('may be single addresses', () => {
    const one = parseProxies('192.0.2.7')
    expect([one.has('192.0.2.7'), one.has('192.0.2.8'), one.empty]).toEqual([true, false, false])
    expect(parseProxies('').empty).toBe(true)
  })

  it.each(['10.0.0.0/33', 'proxy.local', '10.0.0.0/8/8', '::1/129', '10.0.0.0/'])(
    'refuse "%s"',
    (text) => {
      expect(() => parseProxies(text)).toThrow(`"${text}" is not an address or a CIDR range`)
    },
  )
})

it('loopback has many spellings', () => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
    expect(isLoopback(host)).toBe(true)
  }
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'localhost.example.com']) {
    expect(isLoopback(host)).toBe(false)
  }
})
