// How requests leave the host: through a proxy or straight, and which authorities are trusted on the way.
import { readFileSync } from 'node:fs'
import type { Agent } from 'node:http'
import { createRequire } from 'node:module'
import { getCACertificates } from 'node:tls'
import { httpModule, httpsModule } from './http-modules.ts'
import { isLoopback } from './loopback.ts'
import { bypassesProxy } from './no-proxy.ts'
import { StorageError } from './object-store.ts'

/** What the environment says about the way out. */
export interface Network {
  /** `HTTPS_PROXY`: an http(s) URL, perhaps with user and password. */
  readonly proxy?: string | undefined
  /** `NO_PROXY`: hosts, suffixes, addresses and ranges that are reached without it. */
  readonly noProxy?: string | undefined
  /** PEM file of authorities trusted beside the system's own. */
  readonly caFile?: string | undefined
}

/** Connections kept open between two requests: as many as a mover has uploads at once. */
const KEPT_SOCKETS = 16

const load = createRequire(import.meta.url)

interface Agents {
  plain?: Agent
  direct?: Agent
  proxied?: Agent
}
const known = new WeakMap<Network, Agents>()

function secureOptions(network: Network) {
  const ca =
    network.caFile === undefined
      ? undefined
      : [...getCACertificates('default'), readFileSync(network.caFile, 'utf8')]
  return { keepAlive: true, maxFreeSockets: KEPT_SOCKETS, ...(ca === undefined ? {} : { ca }) }
}

/**
 * The agent for requests (and WebSockets) to `url`. Connections are pooled per `network` object, so
 * pass the same one each time. Plain `http:` and `ws:` never go through the proxy: only loopback is
 * reached that way, and `denied` thrown for other hosts, whoever signed the URL. Throws if the CA file
 * cannot be read or the proxy is no URL.
 */
export function dispatcherFor(url: URL, network: Network): Agent {
  const agents = known.get(network) ?? {}
  known.set(network, agents)
  if (url.protocol === 'http:' || url.protocol === 'ws:') {
    if (!isLoopback(url.hostname)) {
      throw new StorageError('denied', `${url.host}: plain http is allowed to loopback alone`)
    }
    agents.plain ??= new httpModule.Agent({ keepAlive: true, maxFreeSockets: KEPT_SOCKETS })
    return agents.plain
  }
  if (network.proxy === undefined || bypassesProxy(url, network.noProxy ?? '')) {
    agents.direct ??= new httpsModule.Agent(secureOptions(network))
    return agents.direct
  }
  agents.proxied ??= proxyAgent(network.proxy, network)
  return agents.proxied
}

/** https-proxy-agent 9 uses its options for the way to the proxy alone; those of the target lie in `options`. */
function proxyAgent(proxy: string, network: Network): Agent {
  const secure = secureOptions(network)
  // Loaded where there is a proxy: it imports Node's fetch with its HTTP, as http-modules.ts says.
  const { HttpsProxyAgent } = load('https-proxy-agent') as typeof import('https-proxy-agent')
  const agent = new HttpsProxyAgent(proxy, secure)
  if ('ca' in secure) Object.assign(agent.options, { ca: secure.ca })
  return agent
}
