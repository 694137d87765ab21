// Who is at the other end, when proxies stand between. Forwarded headers are believed from named proxies only.
import { BlockList, isIP } from 'node:net'

export interface ProxyList {
  readonly empty: boolean
  has(address: string): boolean
}

/** Addresses and CIDR ranges separated by commas or spaces. Throws an Error naming the bad one. */
export function parseProxies(text: string): ProxyList {
  const list = new BlockList()
  const entries = text.split(/[,\s]+/).filter((entry) => entry !== '')
  for (const entry of entries) {
    const [address = '', bits, ...more] = entry.split('/')
    const family = isIP(address)
    const widest = family === 4 ? 32 : 128
    const prefix = bits === undefined ? widest : Number(bits)
    const wellFormed = bits === undefined || /^\d{1,3}$/.test(bits)
    if (family === 0 || more.length > 0 || !wellFormed || prefix > widest) {
      throw new Error(`"${entry}" is not an address or a CIDR range`)
    }
    list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return {
    empty: entries.length === 0,
    has: (address) => {
      const plain = unmapped(address)
      const family = isIP(plain)
      return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6')
    },
  }
}

/**
 * The client's address: the peer's own, unless the peer is a trusted proxy; then the last address in
 * `X-Forwarded-For` that is not itself a trusted proxy. What a client writes there itself stands further
 * left and is never reached.
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trusted: ProxyList,
): string {
  let address = unmapped(peer ?? 'unknown')
  const hops = (forwardedFor ?? '').split(',').map((hop) => unmapped(hop.trim()))
  while (trusted.has(address)) {
    const hop = hops.pop()
    if (hop === undefined || isIP(hop) === 0) break
    address = hop
  }
  return address
}

export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true
  const plain = unmapped(host)
  return isIP(plain) === 4 ? plain.startsWith('127.') : plain === '::1'
}

/** IPv4 as it arrives on a dual-stack socket, in its own form. */
function unmapped(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address
}
