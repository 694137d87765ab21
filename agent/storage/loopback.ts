// Hosts that are this machine.

/** Nothing can listen in between: the only hosts reached without TLS. `hostname` as a URL has it. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}
