// Which addresses a webhook may reach: the public Internet, and ranges the operator opened by name.
import type { LookupAddress } from 'node:dns'
import ipaddr from 'ipaddr.js'

/** Ports that webhooks may use outside the opened ranges. */
const PORTS = new Set(['', '443', '8443'])

/**
 * Special IPv6 ranges inside 2000::/3 (RFC 6890 and its registry, read 2026-11): everything outside it is
 * refused as a whole, so loopback, link-local, unique-local, multicast, v4-mapped, v4-compatible and
 * NAT64 need no line here.
 */
const GLOBAL_V6 = range('2000::/3')
const SPECIAL_V6 = [
  '2001::/23', // IETF protocol assignments: Teredo, benchmarking, ORCHID, AMT
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: carries any IPv4 address
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
].map(range)

/** Special IPv4 ranges (same registry). */
const SPECIAL_V4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // carrier NAT, and many clouds' own services
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, and the metadata services of clouds
  '172.16.0.0/12', // private
  '192.0.0.0/24', // IETF protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
].map(range)

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Range = [Address, number]

export interface AddressCheck {
  /** Why this URL may not be a target, or undefined. Judges all but names, which need DNS. */
  refusedUrl(url: string): string | undefined
  /**
   * The addresses to connect to, in order. Rejects with `RefusedTarget` if any one of them is not
   * allowed: a name that points inside as well as outside is an attack.
   */
  resolve(url: URL): Promise<LookupAddress[]>
}

export class RefusedTarget extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'RefusedTarget'
  }
}

export type LookupAll = (hostname: string) => Promise<LookupAddress[]>

/** `allow`: CIDRs of HOLDFAST_WEBHOOK_ALLOW. Throws a TypeError on one that is none. */
export function createAddressCheck(deps: {
  readonly allow: readonly string[]
  readonly lookup: LookupAll
}): AddressCheck {
  const opened = deps.allow.map((text) => {
    if (!ipaddr.isValidCIDR(text)) throw new TypeError(`"${text}" is not an address range (CIDR)`)
    return range(text)
  })
  const isOpened = (address: Address) => opened.some((one) => inRange(address, one))

  /** Why a connection to this address may not be made for this URL. */
  function refusedAddress(url: URL, text: string): string | undefined {
    if (!ipaddr.isValid(text) || text.includes('%')) return 'its address is not one'
    const address = ipaddr.parse(text)
    if (isOpened(address)) {
      if (url.protocol === 'http:' && address.range() !== 'loopback') {
        return 'plain http is for loopback only'
      }
      return undefined
    }
    if (url.protocol !== 'https:') return 'it must be an https URL'
    if (!PORTS.has(url.port)) return 'its port must be 443 or 8443'
    return isPublic(address) ? undefined : 'its address is not on the public Internet'
  }

  function refusedUrl(text: string): string | undefined {
    let url: URL
    try {
      url = new URL(text)
    } catch {
      return 'it is not a URL'
    }
    if (url.username !== '' || url.password !== '') return 'it must hold no user or password'
    if (url.protocol !== 'https:' && (url.protocol !== 'http:' || opened.length === 0)) {
      return 'it must be an https URL'
    }
    const host = bareHost(url)
    if (ipaddr.isValid(host)) return refusedAddress(url, host)
    if (host === '') return 'it has no host'
    return PORTS.has(url.port) || opened.length > 0 ? undefined : 'its port must be 443 or 8443'
  }

  return {
    refusedUrl,
    async resolve(url) {
      const refused = refusedUrl(url.href)
      if (refused !== undefined) throw new RefusedTarget(refused)
      const host = bareHost(url)
      const found: LookupAddress[] = ipaddr.isValid(host)
        ? [{ address: host, family: ipaddr.parse(host).kind() === 'ipv6' ? 6 : 4 }]
        : await deps.lookup(host)
      for (const { address } of found) {
        const reason = refusedAddress(url, address)
        if (reason !== undefined) throw new RefusedTarget(reason)
      }
      return found
    },
  }
}

function isPublic(address: Address): boolean {
  if (address.kind() === 'ipv4') return !SPECIAL_V4.some((one) => inRange(address, one))
  return inRange(address, GLOBAL_V6) && !SPECIAL_V6.some((one) => inRange(address, one))
}

function inRange(address: Address, [base, bits]: Range): boolean {
  return address.kind() === base.kind() && address.match(base, bits)
}

function range(text: string): Range {
  return ipaddr.parseCIDR(text)
}

/** The host without the brackets of an IPv6 address. The URL parser made dotted decimals of all IPv4 forms. */
function bareHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1')
}
