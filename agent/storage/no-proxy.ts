// NO_PROXY as curl and Go understand it: hosts, suffixes, ports, addresses, ranges, and a star for everything.
import { BlockList, isIP } from 'node:net'

const defaultPorts: Record<string, string> = {
  'http:': '80',
  'ws:': '80',
  'https:': '443',
  'wss:': '443',
}

/** Host without the brackets of IPv6, in lower case and without a closing dot. */
function bareHost(text: string): string {
  return text
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
    .replace(/\.$/, '')
}

function family(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}

function inRange(host: string, network: string, bits: string): boolean {
  const width = Number(bits)
  const widest = isIP(network) === 6 ? 128 : 32
  if (isIP(host) === 0 || isIP(network) === 0 || !/^\d+$/.test(bits) || width > widest) return false
  const list = new BlockList()
  list.addSubnet(network, width, family(network))
  return list.check(host, family(host))
}

/** `host[:port]`, with brackets around an IPv6 address that has a port. */
function splitPort(entry: string): { host: string; port: string | undefined } {
  if (isIP(entry) === 6) return { host: entry, port: undefined }
  const match = /^(.*?)(?::(\d+))?$/.exec(entry)!
  return { host: bareHost(match[1]!), port: match[2] }
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  const slash = entry.lastIndexOf('/')
  if (slash !== -1) return inRange(host, bareHost(entry.slice(0, slash)), entry.slice(slash + 1))
  const wanted = splitPort(entry)
  if (wanted.port !== undefined && wanted.port !== port) return false
  if (isIP(wanted.host) !== 0)
    return inRange(host, wanted.host, isIP(wanted.host) === 6 ? '128' : '32')
  const suffix = wanted.host.replace(/^\*?\./, '')
  if (suffix === '') return false
  const onlyBelow = wanted.host !== suffix
  return host.endsWith(`.${suffix}`) || (!onlyBelow && host === suffix)
}

/**
 * Whether `url` is reached without the proxy. Entries are separated by commas or spaces: `*`;
 * `name` (itself and everything below it); `.name` or `*.name` (everything below it); an address; a range
 * in CIDR notation (compared with addresses only, names are not looked up); each but the range may end in `:port`.
 */
export function bypassesProxy(url: URL, noProxy: string): boolean {
  const host = bareHost(url.hostname)
  const port = url.port === '' ? (defaultPorts[url.protocol] ?? '') : url.port
  return noProxy
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => matches(entry.toLowerCase(), host, port))
}
