import { describe, expect, it } from 'vitest'
import { innerUrls } from '../../../test/support/inner-urls.ts'
import { createAddressCheck, type LookupAll, RefusedTarget } from './address-check.ts'

const nobody: LookupAll = async () => []
const strict = createAddressCheck({ allow: [], lookup: nobody })
const pointsTo = (...addresses: string[]) =>
  createAddressCheck({
    allow: [],
    lookup: async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
  })

describe('the address check', () => {
  it('has more than a hundred URLs to refuse', () => {
    expect(new Set(innerUrls).size).toBeGreaterThanOrEqual(100)
  })

  it.each(innerUrls)('refuses %j without asking DNS', async (url) => {
    expect(strict.refusedUrl(url)).toBeTypeOf('string')
  })

  it.each([
    'https://hooks.slack.com/services/T/B/x',
    'https://example.com:443/',
    'https://example.com:8443/x?y=z',
    'https://8.8.8.8/',
    'https://134744072/', // 8.8.8.8 as a number
    'https://[2606:4700:4700::1111]/',
    'https://172.32.0.1/',
    'https://100.128.0.1/',
    'https://192.0.1.1/',
    'https://198.20.0.1/',
    'https://223.255.255.255/',
  ])('lets %j pass', (url) => {
    expect(strict.refusedUrl(url)).toBeUndefined()
  })

  const innerAddresses = innerUrls
    .filter((url) => /^https:\/\/(?:[\d.]+|\[[\da-f:.]+\])\/[^@]*$/i.test(url))
    .map((url) => new URL(url).hostname.replace(/[[\]]/g, ''))

  it.each([...new Set(innerAddresses)])('refuses a name that points to %s', async (address) => {
    const url = new URL('https://hooks.example.com/')
    await expect(pointsTo(address).resolve(url)).rejects.toBeInstanceOf(RefusedTarget)
    // One inner address among outer ones is enough.
    await expect(pointsTo('8.8.8.8', address).resolve(url)).rejects.toBeInstanceOf(RefusedTarget)
    await expect(pointsTo(address, '2606:4700::1').resolve(url)).rejects.toBeInstanceOf(
      RefusedTarget,
    )
  })

  it('resolves a name whose addresses are all outside, in the order given', async () => {
    const found = await pointsTo('8.8.4.4', '2606:4700::1').resolve(new URL('https://example.com/'))
    expect(found.map(({ address }) => address)).toEqual(['8.8.4.4', '2606:4700::1'])
  })

  it('refuses zone identifiers and what is no address at all', async () => {
    const url = new URL('https://hooks.example.com/')
    await expect(pointsTo('fe80::1%eth0').resolve(url)).rejects.toBeInstanceOf(RefusedTarget)
    await expect(pointsTo('not an address').resolve(url)).rejects.toBeInstanceOf(RefusedTarget)
  })

  describe('with ranges opened by name', () => {
    const opened = createAddressCheck({
      allow: ['10.1.0.0/16', '127.0.0.1/32', 'fd00:1::/32'],
      lookup: async (name) => [
        { address: name === 'inside.example' ? '10.1.2.3' : '10.2.0.1', family: 4 },
      ],
    })
    it('lets those pass, on any port, and nothing beside them', async () => {
      expect(opened.refusedUrl('https://10.1.2.3:9000/')).toBeUndefined()
      expect(opened.refusedUrl('https://[fd00:1::5]/')).toBeUndefined()
      expect(opened.refusedUrl('https://10.2.0.1/')).toBeTypeOf('string')
      expect(opened.refusedUrl('https://127.0.0.2/')).toBeTypeOf('string')
      expect(opened.refusedUrl('https://[::ffff:10.1.2.3]/')).toBeTypeOf('string')
      expect(await opened.resolve(new URL('https://inside.example:9000/'))).toHaveLength(1)
      await expect(opened.resolve(new URL('https://other.example/'))).rejects.toThrow('public')
      await expect(opened.resolve(new URL('https://other.example:9000/'))).rejects.toThrow('port')
    })
    it('takes plain http on loopback only', async () => {
      expect(opened.refusedUrl('http://127.0.0.1:9000/')).toBeUndefined()
      expect(opened.refusedUrl('http://10.1.2.3/')).toBe('plain http is for loopback only')
      await expect(opened.resolve(new URL('http://inside.example/'))).rejects.toThrow(
        'loopback only',
      )
      expect(opened.refusedUrl('http://8.8.8.8/')).toBe('it must be an https URL')
    })
    it('refuses a range that is none', () => {
      expect(() => createAddressCheck({ allow: ['10.0.0.0'], lookup: nobody })).toThrow('CIDR')
    })
  })
})
