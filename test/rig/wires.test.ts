import { once } from 'node:events'
import { get, request } from 'node:https'
import { connect, createServer } from 'node:net'
import { HttpsProxyAgent } from 'https-proxy-agent'
import { createTransport } from 'nodemailer'
import { afterEach, describe, expect, test } from 'vitest'
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts'
import { startConnectProxy } from './connect-proxy.ts'
import { startMailbox } from './mailbox.ts'
import { startTcpProxy } from './tcp-proxy.ts'
import { startWebhookReceiver } from './webhook-receiver.ts'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})
async function kept<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const started = await starting
  stops.push(started.stop)
  return started
}

async function startEcho(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stops.push(() => new Promise((done) => server.close(() => done())))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Sends, half-closes, and resolves to what came back, or to the error's code. */
async function exchange(port: number, bytes: Buffer): Promise<Buffer | string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.end(bytes)
  const pieces: Buffer[] = []
  try {
    for await (const piece of socket as AsyncIterable<Buffer>) pieces.push(piece)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error'
  }
  return Buffer.concat(pieces)
}

describe('a TCP proxy', () => {
  test('carries every byte both ways and counts them', async () => {
    const proxy = await kept(startTcpProxy({ port: await startEcho() }))
    const bytes = Buffer.alloc(3_000_001, 'holdfast')
    expect(await exchange(proxy.port, bytes)).toEqual(bytes)
    expect(proxy).toMatchObject({ sent: bytes.length, received: bytes.length, accepted: 1 })
  })

  test('cuts what is open and lets the next one through', async () => {
    const proxy = await kept(startTcpProxy({ port: await startEcho() }))
    proxy.cutAfter = 100_000
    expect(await exchange(proxy.port, Buffer.alloc(500_000))).toBe('ECONNRESET')
    proxy.cutAfter = undefined
    expect(await exchange(proxy.port, Buffer.alloc(500_000))).toHaveLength(500_000)
  })

  test('holds back in silence and goes on when released', async () => {
    const proxy = await kept(startTcpProxy({ port: await startEcho() }))
    proxy.hold(true)
    const answer = exchange(proxy.port, Buffer.from('patience'))
    const early = new Promise((resolve) => setTimeout(resolve, 150, 'nothing yet'))
    expect(await Promise.race([answer, early])).toBe('nothing yet')
    proxy.hold(false)
    expect(String(await answer)).toBe('patience')
  })

  test('keeps to a bandwidth and a latency', async () => {
    const proxy = await kept(startTcpProxy({ port: await startEcho() }))
    proxy.bandwidth = 1_000_000
    proxy.latency = 20
    const began = performance.now()
    await exchange(proxy.port, Buffer.alloc(100_000))
    expect(performance.now() - began).toBeGreaterThan(100)
  })

  test('refuses when told to', async () => {
    const proxy = await kept(startTcpProxy({ port: await startEcho() }))
    proxy.refuse(true)
    expect(await exchange(proxy.port, Buffer.from('x'))).toBe('ECONNRESET')
  })
})

describe('a certificate authority', () => {
  const fetchFrom = (port: number, authority: CertificateAuthority, servername = 'localhost') =>
    new Promise<string>((resolve) => {
      get({ host: '127.0.0.1', port, servername, ca: authority.cert, agent: false }, (response) => {
        response.resume()
        resolve(String(response.statusCode))
      }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    })

  test('is believed by those who have its certificate, and by nobody else', async () => {
    const authority = createCertificateAuthority()
    const server = await kept(startWebhookReceiver({ certificate: authority.issue() }))
    expect(await fetchFrom(server.port, authority)).toBe('200')
    expect(await fetchFrom(server.port, createCertificateAuthority('Another'))).toMatch(
      /UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED/,
    )
  })

  test('issues certificates that are expired or made out to another name', async () => {
    const authority = createCertificateAuthority()
    const expired = authority.issue({ notAfter: new Date(Date.now() - 60_000) })
    const old = await kept(startWebhookReceiver({ certificate: expired }))
    expect(await fetchFrom(old.port, authority)).toBe('CERT_HAS_EXPIRED')
    const other = authority.issue({ names: ['other.example', '10.0.0.1'] })
    const wrong = await kept(startWebhookReceiver({ certificate: other }))
    expect(await fetchFrom(wrong.port, authority)).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    expect(await fetchFrom(wrong.port, authority, 'other.example')).toBe('200')
  })
})

describe('a CONNECT proxy', () => {
  const authority = createCertificateAuthority()
  const through = (url: string, target: string) =>
    new Promise<string>((resolve) => {
      const agent = new HttpsProxyAgent(url, { ca: authority.cert })
      // A request whose agent still waits for its tunnel has no socket yet, and hears of no time-out.
      setTimeout(resolve, 2_000, 'no answer').unref()
      request(target, { agent, ca: authority.cert }, (response) => {
        response.resume()
        resolve(String(response.statusCode))
      })
        .on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        .end()
    })

  test.each(['http', 'https'])(
    'leads those who log in to a name only it knows, over %s',
    async (scheme) => {
      const certificate = authority.issue({ names: ['plane.example'] })
      const server = await kept(startWebhookReceiver({ certificate }))
      const proxy = await kept(
        startConnectProxy({
          username: 'host one',
          password: 'p:w@d',
          hosts: { 'plane.example:443': `127.0.0.1:${server.port}` },
          ...(scheme === 'https' ? { certificate: authority.issue() } : {}),
        }),
      )
      expect(await through(proxy.url, 'https://plane.example/hook')).toBe('200')
      expect(await through(proxy.bareUrl, 'https://plane.example/hook')).not.toBe('200')
      expect(proxy.requests).toEqual([
        { target: 'plane.example:443', authorised: true, status: 200 },
        { target: 'plane.example:443', authorised: false, status: 407 },
      ])
      expect(server.requests.map(({ url }) => url)).toEqual(['/hook'])
    },
  )

  test('refuses, keeps silent, and says when a server is not there', async () => {
    const proxy = await kept(startConnectProxy({ hosts: { 'gone.example:443': '127.0.0.1:1' } }))
    expect(await through(proxy.url, 'https://gone.example/')).toBe('502')
    proxy.refuseWith(403)
    expect(await through(proxy.url, 'https://gone.example/')).toBe('403')
    proxy.refuseWith(undefined)
    proxy.blackHole(true)
    expect(await through(proxy.url, 'https://gone.example/')).toBe('no answer')
    expect(proxy.requests.map(({ status }) => status)).toEqual([502, 403, 0])
  })
})

describe('a webhook receiver', () => {
  test('answers as it was told and remembers what it got', async () => {
    const receiver = await kept(startWebhookReceiver())
    receiver.script({ status: 503, headers: { 'retry-after': '1' } }, { cut: true })
    const post = () => fetch(`${receiver.url}/a?b`, { method: 'POST', body: '{"c":1}' })
    expect((await post()).headers.get('retry-after')).toBe('1')
    await expect(post()).rejects.toThrow()
    expect((await post()).status).toBe(200)
    const [first] = await receiver.received(3)
    expect(first).toMatchObject({ method: 'POST', url: '/a?b' })
    expect(first?.json()).toEqual({ c: 1 })
    await expect(receiver.received(4, 0.05)).rejects.toThrow('3 of 4 requests')
  })
})

describe('a mailbox', () => {
  const authority = createCertificateAuthority()
  const mail = { from: 'a@x.example', to: 'b@y.example', subject: 'Häm', text: 'hello' }

  test.each(['plain', 'starttls', 'tls'] as const)(
    'takes mail over %s after a login',
    async (security) => {
      const login = { username: 'u', password: 'p' }
      const box = await kept(startMailbox({ security, certificate: authority.issue(), ...login }))
      const transport = (pass: string) =>
        createTransport({
          host: box.host,
          port: box.port,
          secure: security === 'tls',
          requireTLS: security === 'starttls',
          ignoreTLS: security === 'plain',
          auth: { user: 'u', pass },
          tls: { ca: authority.cert },
        })
      await expect(transport('wrong').sendMail(mail)).rejects.toThrow(/Authentication failed/)
      await transport('p').sendMail(mail)
      const [got] = await box.received(1)
      expect(got).toMatchObject({ from: 'a@x.example', to: ['b@y.example'], user: 'u' })
      expect(got?.secure).toBe(security !== 'plain')
      expect(got?.headers.get('from')).toBe('a@x.example')
      expect(got?.body.trim()).toBe('hello')
    },
  )

  test('refuses with the code it was told, then takes', async () => {
    const box = await kept(startMailbox())
    box.refuse({ code: 451, message: 'try later' })
    const transport = createTransport({ host: box.host, port: box.port, ignoreTLS: true })
    await expect(transport.sendMail(mail)).rejects.toMatchObject({ responseCode: 451 })
    await transport.sendMail(mail)
    expect(box.mails).toHaveLength(1)
  })
})
