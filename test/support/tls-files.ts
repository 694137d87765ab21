// A certificate authority of our own, trusted by this process, and a server certificate it signed.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'

export interface TestTls {
  readonly key: string
  readonly cert: string
  /** Takes the authority out of what this process trusts. */
  remove(): void
}

/** Needs the `openssl` program. `names` are DNS names or addresses, e.g. `DNS:mail.example`, `IP:127.0.0.1`. */
export function createTrustedTls(names: readonly string[]): TestTls {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-tls-'))
  const at = (name: string) => join(folder, name)
  const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
    '-subj',
    '/CN=test authority',
  )
  openssl(
    'req',
    ...key.slice(0, 4),
    '-nodes',
    '-keyout',
    at('key.pem'),
    '-out',
    at('csr.pem'),
    '-subj',
    '/CN=test',
  )
  writeFileSync(at('names'), `subjectAltName=${names.join(',')}\n`)
  openssl(
    ...['x509', '-req', '-in', at('csr.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key')],
    ...['-CAcreateserial', '-days', '2', '-extfile', at('names'), '-out', at('cert.pem')],
  )
  const read = (name: string) => readFileSync(at(name), 'utf8')
  const files = { key: read('key.pem'), cert: read('cert.pem') }
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, read('ca.pem')])
  rmSync(folder, { recursive: true })
  return { ...files, remove: () => setDefaultCACertificates(before) }
}
