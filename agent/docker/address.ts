// Where the engine listens, from DOCKER_HOST.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../shared/errors.ts'

/** Where an engine listens when nobody says otherwise. */
export const DEFAULT_SOCKET = '/var/run/docker.sock'
/** Ports of an engine on the network, by convention: plain and with TLS. */
const PLAIN_PORT = 2375
const TLS_PORT = 2376

export interface DockerAddress {
  /** On this machine: then its volumes may be visible as files. */
  readonly local: boolean
  readonly options: Readonly<Record<string, unknown>>
}

/**
 * `unix:///path`, a plain `/path`, or `tcp://host[:port]`, with certificates from `certificates`
 * (`DOCKER_CERT_PATH`) when `tls` (`DOCKER_TLS_VERIFY`) is set. Throws `invalid` on anything else.
 */
export function dockerAddress(settings: {
  host: string | undefined
  tls?: boolean
  certificates?: string | undefined
}): DockerAddress {
  const text = settings.host === undefined || settings.host === '' ? DEFAULT_SOCKET : settings.host
  if (text.startsWith('/')) return { local: true, options: { socketPath: text } }
  if (text.startsWith('unix://')) {
    return { local: true, options: { socketPath: text.slice('unix://'.length) } }
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'tcp:' || url.hostname === '') {
    throw new HoldfastError('invalid', `DOCKER_HOST: "${text}" is not an address of an engine`, {
      hint: 'use unix:///path/to/docker.sock or tcp://host:port',
    })
  }
  const tls = settings.tls ?? false
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = url.port === '' ? (tls ? TLS_PORT : PLAIN_PORT) : Number(url.port)
  const files = tls ? readCertificates(settings.certificates) : {}
  return { local: false, options: { protocol: tls ? 'https' : 'http', host, port, ...files } }
}

function readCertificates(folder: string | undefined) {
  if (folder === undefined) {
    throw new HoldfastError('invalid', 'DOCKER_CERT_PATH is not set, but DOCKER_TLS_VERIFY is', {
      hint: 'name the folder that holds ca.pem, cert.pem and key.pem',
    })
  }
  const read = (name: string) => readFileSync(join(folder, name))
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') }
}
