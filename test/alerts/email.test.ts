// Mail against a real SMTP server on loopback, with TLS and logins.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createEmailNotifier } from '../../control-plane/adapters/notify/email.ts'
import type { Alert } from '../../shared/alert/alert.ts'
import type { ChannelSettings } from '../../shared/alert/channel.ts'
import { createTrustedTls, type TestTls } from '../support/tls-files.ts'

const alert: Alert = {
  id: '01890000-0000-7000-8000-000000000001',
  alert_type: 'job-failed',
  level: 'critical',
  message: 'Backup of volume:db failed.',
  hostname: 'web-1',
  timestamp: '2026-01-02T03:04:05.678Z',
  reason: 'disk-full',
}
const messageId = '01890000-0000-7000-8000-00000000000a'
const servers: { close(): unknown }[] = []
const trust = () => createTrustedTls(['DNS:mail.example.com', 'IP:127.0.0.1'])
let tls: TestTls
beforeAll(() => {
  tls = trust()
})
afterAll(() => tls.remove())
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

describe('email', () => {
  interface Mail {
    readonly text: string
    readonly secure: boolean
    readonly user: string | undefined
    readonly to: string[]
  }
  async function mailServer(options: SMTPServerOptions = {}) {
    const mails: Mail[] = []
    const server = new SMTPServer({
      key: tls.key,
      cert: tls.cert,
      authMethods: ['PLAIN', 'LOGIN'],
      onAuth: ({ username, password }, _session, done) =>
        username === 'holdfast' && password === 'mail-secret'
          ? done(null, { user: username })
          : done(new Error('no such user mail-secret')),
      onData(stream, session, done) {
        let text = ''
        stream.on('data', (part) => {
          text += part
        })
        stream.on('end', () => {
          const to = session.envelope.rcptTo.map(({ address }) => address)
          mails.push({ text, secure: session.secure, user: session.user as string, to })
          done()
        })
      },
      ...options,
    })
    server.on('error', () => undefined)
    servers.push({ close: () => server.close() })
    server.listen(0, '127.0.0.1')
    await once(server.server, 'listening')
    return { mails, port: (server.server.address() as AddressInfo).port }
  }
  const settings = (port: number, change: object = {}): ChannelSettings => ({
    kind: 'email',
    host: '127.0.0.1',
    port,
    tls: 'starttls',
    user: 'holdfast',
    from: 'holdfast@example.com',
    to: ['ops@example.com', 'second@example.com'],
    ...change,
  })
  const send = (port: number, change: object = {}, password = 'mail-secret') =>
    createEmailNotifier().send(
      { settings: settings(port, change), secret: { password } },
      alert,
      messageId,
    )

  it('goes out by STARTTLS with a login, to everybody, with an id that stays', async () => {
    const { mails, port } = await mailServer()
    expect(await send(port)).toEqual({ state: 'delivered' })
    const [mail] = mails
    expect(mail).toMatchObject({
      secure: true,
      user: 'holdfast',
      to: ['ops@example.com', 'second@example.com'],
    })
    expect(mail?.text).toContain('Subject: [critical] job-failed on web-1')
    expect(mail?.text).toContain(`Message-ID: <${messageId}@holdfast>`)
    expect(mail?.text).toContain('reason: disk-full')
    expect(mail?.text).toContain('Auto-Submitted: auto-generated')
  })

  it('goes out by TLS from the first byte', async () => {
    const { mails, port } = await mailServer({ secure: true })
    expect(await send(port, { tls: 'implicit' })).toEqual({ state: 'delivered' })
    expect(mails[0]?.secure).toBe(true)
  })

  it('never sends in the clear where TLS was asked for', async () => {
    const { mails, port } = await mailServer({
      disabledCommands: ['STARTTLS'],
      authOptional: true,
    })
    expect(await send(port)).toEqual({
      state: 'retry',
      error: 'the mail server offers no TLS, or TLS failed (500)',
    })
    expect(mails).toEqual([])
  })

  it('says in words, without the server’s, why it failed', async () => {
    const { port } = await mailServer()
    const wrong = await send(port, {}, 'mail-secret-wrong')
    expect(wrong).toEqual({
      state: 'retry',
      error: 'the mail server refused user or password (535)',
    })
    expect(await send(9)).toEqual({ state: 'retry', error: 'the connection was refused' })
    const rejecting = await mailServer({
      onRcptTo: (_address, _session, done) =>
        done(Object.assign(new Error('mail-secret unknown'), { responseCode: 550 })),
    })
    expect(await send(rejecting.port)).toEqual({
      state: 'failed',
      error: 'the mail server refused sender or recipients (550)',
    })
  })

  it('refuses a certificate nobody we trust has signed', async () => {
    const { mails, port } = await mailServer()
    tls.remove()
    const result = await send(port)
    expect(result.state).toBe('retry')
    expect(mails).toEqual([])
    tls = trust()
  })
})
