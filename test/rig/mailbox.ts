// A mail server that keeps what it gets: plain, with STARTTLS or with TLS from the first byte, with a login or without.

import { SMTPServer } from 'smtp-server'
import { createArrivals } from './arrivals.ts'
import type { Certificate } from './certificates.ts'

export interface MailboxOptions {
  /** `tls` needs a certificate; `starttls` and `plain` differ in what is offered. Default: plain. */
  readonly security?: 'plain' | 'starttls' | 'tls'
  readonly certificate?: Certificate
  /** With one, nothing is taken before a login. */
  readonly username?: string
  readonly password?: string
}

export interface ReceivedMail {
  /** Envelope sender and recipients. */
  readonly from: string
  readonly to: readonly string[]
  /** Did it come over TLS? */
  readonly secure: boolean
  /** Who had logged in. */
  readonly user: string | undefined
  /** Header names in lower case, folded lines joined. */
  readonly headers: ReadonlyMap<string, string>
  /** What follows the headers, as it came: encodings are not undone. */
  readonly body: string
  readonly raw: string
}

export interface Mailbox {
  readonly host: string
  readonly port: number
  readonly mails: readonly ReceivedMail[]
  /** The next mails are refused with these codes and words, one each, e.g. 451 or 550. */
  refuse(...answers: { code: number; message: string }[]): void
  /** Resolves with the first `count` mails as soon as they are there; rejects after `seconds` (default 10). */
  received(count: number, seconds?: number): Promise<readonly ReceivedMail[]>
  stop(): Promise<void>
}

export async function startMailbox(options: MailboxOptions = {}): Promise<Mailbox> {
  const { security = 'plain', certificate, username, password } = options
  if (security !== 'plain' && certificate === undefined)
    throw new Error(`a mailbox with ${security} needs a certificate`)
  const arrivals = createArrivals<ReceivedMail>('mails')
  const refusals: { code: number; message: string }[] = []
  const server = new SMTPServer({
    ...certificate,
    secure: security === 'tls',
    logger: false,
    disableReverseLookup: true,
    hideSTARTTLS: security !== 'starttls',
    authOptional: username === undefined,
    allowInsecureAuth: security === 'plain',
    disabledCommands: username === undefined ? ['AUTH'] : [],
    closeTimeout: 200,
    onAuth(login, _session, done) {
      if (login.username === username && login.password === password) done(null, { user: username })
      else done(Object.assign(new Error('Authentication failed'), { responseCode: 535 }))
    },
    onData(stream, session, done) {
      const pieces: Buffer[] = []
      stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.on('end', () => {
        const refusal = refusals.shift()
        if (refusal !== undefined) {
          done(Object.assign(new Error(refusal.message), { responseCode: refusal.code }))
          return
        }
        const { mailFrom, rcptTo } = session.envelope
        arrivals.add({
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map(({ address }) => address),
          secure: session.secure,
          user: session.user,
          ...split(Buffer.concat(pieces).toString()),
        })
        done()
      })
    },
  })
  // A client that fails the handshake is what some tests are about; it must not end the process.
  server.on('error', () => {})
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.server.address()
  return {
    host: '127.0.0.1',
    port: typeof address === 'object' && address !== null ? address.port : 0,
    mails: arrivals.items,
    refuse(...answers) {
      refusals.push(...answers)
    },
    received: arrivals.received,
    stop: () => new Promise((done) => server.close(() => done())),
  }
}

function split(raw: string): { raw: string; headers: Map<string, string>; body: string } {
  const end = raw.indexOf('\r\n\r\n')
  const unfolded = raw.slice(0, end).replace(/\r\n[ \t]+/g, ' ')
  const headers = unfolded.split('\r\n').map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  return { raw, headers: new Map(headers), body: raw.slice(end + 4) }
}
