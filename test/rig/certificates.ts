// A certificate authority of our own, in memory: no openssl, no files unless a program needs them, and certificates
// that are expired or made out to somebody else on purpose. X.509 version 3 after RFC 5280, keys on P-256.

import {
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import { isIP } from 'node:net'
import {
  bitString,
  boolean,
  context,
  integer,
  ipAddress,
  objectId,
  octetString,
  sequence,
  set,
  time,
  utf8,
} from './der.ts'

export interface Certificate {
  /** PEM, with the authority's certificate nowhere in it. */
  readonly cert: string
  /** PEM, PKCS #8. */
  readonly key: string
}

export interface CertificateWishes {
  /** DNS names and IP addresses the certificate is good for. Default: localhost, 127.0.0.1, ::1. */
  readonly names?: readonly string[]
  /** Default: an hour ago. */
  readonly notBefore?: Date
  /** Default: in a day. */
  readonly notAfter?: Date
}

export interface CertificateAuthority {
  /** PEM: what a client has to trust, e.g. through HOLDFAST_CA_FILE. */
  readonly cert: string
  issue(wishes?: CertificateWishes): Certificate
}

const hour = 3_600_000

const ids = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  subjectAltName: '2.5.29.17',
}

/** Makes an authority that no system trusts. */
export function createCertificateAuthority(name = 'Holdfast test authority'): CertificateAuthority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const now = Date.now()
  const own = certificate({
    subject: name,
    issuer: name,
    publicKey: keys.publicKey,
    signedWith: keys.privateKey,
    notBefore: new Date(now - hour),
    notAfter: new Date(now + 48 * hour),
    extensions: [
      extension(ids.basicConstraints, true, sequence(boolean(true))),
      // keyCertSign and cRLSign: bits 5 and 6.
      extension(ids.keyUsage, true, bitString(Buffer.of(0b0000_0110), 1)),
    ],
  })
  return {
    cert: own,
    issue({ names = ['localhost', '127.0.0.1', '::1'], notBefore, notAfter } = {}) {
      const server = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const alternatives = names.map((one) =>
        isIP(one) ? context(7, ipAddress(one)) : context(2, Buffer.from(one, 'ascii')),
      )
      const cert = certificate({
        subject: names[0] ?? 'nobody',
        issuer: name,
        publicKey: server.publicKey,
        signedWith: keys.privateKey,
        notBefore: notBefore ?? new Date(now - hour),
        notAfter: notAfter ?? new Date(now + 24 * hour),
        extensions: [
          extension(ids.extendedKeyUsage, false, sequence(objectId(ids.serverAuth))),
          extension(ids.subjectAltName, false, sequence(...alternatives)),
        ],
      })
      return { cert, key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
    },
  }
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), octetString(value))
}

interface Contents {
  readonly subject: string
  readonly issuer: string
  readonly publicKey: KeyObject
  readonly signedWith: KeyObject
  readonly notBefore: Date
  readonly notAfter: Date
  readonly extensions: readonly Buffer[]
}

function certificate(contents: Contents): string {
  const named = (text: string) => sequence(set(sequence(objectId(ids.commonName), utf8(text))))
  const algorithm = sequence(objectId(ids.ecdsaWithSha256))
  const body = sequence(
    context(0, integer(Buffer.of(2)), true), // version 3
    integer(randomBytes(16)),
    algorithm,
    named(contents.issuer),
    sequence(time(contents.notBefore), time(contents.notAfter)),
    named(contents.subject),
    contents.publicKey.export({ type: 'spki', format: 'der' }),
    context(3, sequence(...contents.extensions), true),
  )
  const signature = sign('sha256', body, contents.signedWith)
  return new X509Certificate(sequence(body, algorithm, bitString(signature))).toString()
}
