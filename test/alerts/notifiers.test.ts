// Every notifier against real servers: HTTP, HTTPS and SMTP on loopback.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  createAddressCheck,
  type LookupAll,
} from '../../control-plane/adapters/notify/address-check.ts'
import { createPinnedPost } from '../../control-plane/adapters/notify/pinned-post.ts'
import { createSlackNotifier } from '../../control-plane/adapters/notify/slack.ts'
import { createWebhookNotifier } from '../../control-plane/adapters/notify/webhook.ts'
import type { Alert } from '../../shared/alert/alert.ts'
import { innerUrls } from '../support/inner-urls.ts'
import { createMemoryClock } from '../support/memory-clock.ts'
import { createTrustedTls, type TestTls } from '../support/tls-files.ts'

const SECRET = `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`
const alert: Alert = {
  id: '01890000-0000-7000-8000-000000000001',
  alert_type: 'job-failed',
  level: 'critical',
  message: 'Backup of volume:db failed: <disk & co> full.',
  hostname: 'web-1',
  timestamp: '2026-01-02T03:04:05.678Z',
  reason: 'disk-full',
}
const messageId = '01890000-0000-7000-8000-00000000000a'
const clock = createMemoryClock()
const open = ['127.0.0.0/8']

interface Seen {
  readonly request: IncomingMessage
  readonly body: string
}
const servers: { close(): unknown; closeAllConnections?(): void }[] = []
let tls: TestTls
beforeAll(() => {
  tls = createTrustedTls(['DNS:hooks.example.com'])
})
afterAll(() => tls.remove())
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections?.()
    server.close()
  }
})

async function receiver(answer: RequestListener, secure = false) {
  const seen: Seen[] = []
  let connections = 0
  const listener: RequestListener = (request, response) => {
    let body = ''
    request.on('data', (part) => {
      body += part
    })
    request.on('end', () => {
      seen.push({ request, body })
      answer(request, response)
    })
  }
  const server: Server = secure
    ? (createTlsServer({ key: tls.key, cert: tls.cert }, listener) as unknown as Server)
    : createServer(listener)
  server.on('connection', () => connections++)
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { seen, port, connections: () => connections, url: `http://127.0.0.1:${port}/hook` }
}
const ok: RequestListener = (_request, response) => response.end('ok')

function webhook(options: { allow?: string[]; lookup?: LookupAll; timeout?: number } = {}) {
  const lookup: LookupAll = options.lookup ?? (async () => [{ address: '127.0.0.1', family: 4 }])
  const check = createAddressCheck({ allow: options.allow ?? open, lookup })
  const post = createPinnedPost({ check, timeout: options.timeout ?? 2_000 })
  const notifier = createWebhookNotifier({ post, clock })
  return (url: string) =>
    notifier.send(
      { settings: { kind: 'webhook', host: 'x' }, secret: { url, secret: SECRET } },
      alert,
      messageId,
    )
}

describe('the webhook', () => {
  it('sends the alert with a text for Slack, signed as Standard Webhooks has it', async () => {
    const { seen, url } = await receiver(ok)
    expect(await webhook()(url)).toEqual({ state: 'delivered' })
    const { request, body } = seen[0]!
    expect(JSON.parse(body)).toEqual({
      ...alert,
      text: '[critical] job-failed on web-1: Backup of volume:db failed: &lt;disk &amp; co&gt; full.',
    })
    // Verified by Web Crypto, from nothing but what a receiver has: the secret and the request.
    const id = request.headers['webhook-id']
    const timestamp = request.headers['webhook-timestamp']
    expect(id).toBe(messageId)
    expect(timestamp).toBe(String(Math.floor(clock.now() / 1_000)))
    const [version, signature = ''] = String(request.headers['webhook-signature']).split(',')
    expect(version).toBe('v1')
    const bytes = Uint8Array.from(atob(SECRET.slice(6)), (c) => c.charCodeAt(0))
    const how = { name: 'HMAC', hash: 'SHA-256' }
    const key = await crypto.subtle.importKey('raw', bytes, how, false, ['verify'])
    const verify = (text: string) =>
      crypto.subtle.verify(
        'HMAC',
        key,
        Uint8Array.from(atob(signature), (c) => c.charCodeAt(0)),
        new TextEncoder().encode(text),
      )
    expect(await verify(`${id}.${timestamp}.${body}`)).toBe(true)
    expect(await verify(`${id}.${timestamp}.${body} `)).toBe(false)
    expect(request.headers['content-type']).toBe('application/json')
  })

  it('signs the vector of the Standard Webhooks specification’s own libraries', async () => {
    // Their published test: secret, id, time and body with a known signature.
    const { createHmac } = await import('node:crypto')
    const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64')
    const text = 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
    expect(createHmac('sha256', key).update(text).digest('base64')).toBe(
      'g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    )
  })

  it('connects to the checked address over TLS with the name in Host and SNI', async () => {
    const { seen, port } = await receiver(ok, true)
    const url = `https://hooks.example.com:${port}/x`
    expect(await webhook()(url)).toEqual({ state: 'delivered' })
    expect(seen[0]?.request.headers.host).toBe(`hooks.example.com:${port}`)
    expect((seen[0]!.request.socket as unknown as { servername: string }).servername).toBe(
      'hooks.example.com',
    )
    const other = await webhook()(`https://other.example.com:${port}/x`)
    expect(other).toEqual({ state: 'retry', error: 'its certificate is for another name' })
  })

  it('connects to none of the inner targets, however they are written', async () => {
    const { connections, port } = await receiver(ok)
    const send = webhook({ allow: [] })
    const urls = [...innerUrls, `https://127.0.0.1:${port}/`, `http://127.0.0.1:${port}/`]
    for (const url of urls) {
      const result = await send(url)
      expect([url, result.state]).toEqual([url, expect.stringMatching(/failed|retry/)])
    }
    expect(connections()).toBe(0)
  })

  it('is not led inside by a name that changes its mind', async () => {
    const { connections, port } = await receiver(ok, true)
    let asked = 0
    // The check sees TEST-NET in an opened range; every later answer would be loopback.
    const lookup: LookupAll = async () => {
      asked++
      return [{ address: asked === 1 ? '192.0.2.1' : '127.0.0.1', family: 4 }]
    }
    const send = webhook({ allow: ['192.0.2.0/24'], lookup, timeout: 500 })
    const result = await send(`https://rebind.example.com:${port}/`)
    expect(result.state).toBe('retry')
    expect(asked).toBe(1)
    expect(connections()).toBe(0)
  })

  it('follows no redirect', async () => {
    const inner = await receiver(ok)
    for (const status of [301, 302, 303, 307, 308]) {
      const { url } = await receiver((_request, response) => {
        response.writeHead(status, { location: inner.url }).end()
      })
      expect(await webhook()(url)).toEqual({
        state: 'retry',
        error: `it answered ${status}; redirects are not followed`,
      })
    }
    expect(inner.connections()).toBe(0)
  })

  it.each([
    [200, 'delivered'],
    [204, 'delivered'],
    [400, 'retry'],
    [404, 'retry'],
    [410, 'gone'],
    [429, 'retry'],
    [500, 'retry'],
    [503, 'retry'],
  ])('takes an answer of %i for "%s"', async (status, state) => {
    const { url } = await receiver((_request, response) => response.writeHead(status).end('SECRET'))
    const result = await webhook()(url)
    expect(result.state).toBe(state)
    expect(JSON.stringify(result)).not.toContain('SECRET')
  })

  it('reads no more than it needs of an endless answer', async () => {
    let sent = 0
    const { url } = await receiver((_request, response) => {
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384))) sent += 16_384
      }
      response.on('drain', more)
      more()
    })
    const begun = performance.now()
    expect(await webhook()(url)).toEqual({ state: 'delivered' })
    expect(performance.now() - begun).toBeLessThan(1_500)
    expect(sent).toBeLessThan(20_000_000)
  })

  it('gives up on silence, on a closed port and on a cut line, in words', async () => {
    const silent = await receiver(() => undefined)
    expect(await webhook({ timeout: 200 })(silent.url)).toEqual({
      state: 'retry',
      error: 'it did not answer in time',
    })
    expect(await webhook()('http://127.0.0.1:9/')).toEqual({
      state: 'retry',
      error: 'the connection was refused',
    })
    const cut = createTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy()))
    servers.push(cut)
    cut.listen(0, '127.0.0.1')
    await once(cut, 'listening')
    const { port } = cut.address() as AddressInfo
    expect((await webhook()(`http://127.0.0.1:${port}/`)).state).toBe('retry')
    const hanging: LookupAll = () => new Promise(() => undefined)
    const late = webhook({ lookup: hanging, timeout: 100 })
    expect(await late('https://hooks.example.com/')).toEqual({
      state: 'retry',
      error: 'it did not answer in time',
    })
  })

  it('tries the next address when one cannot be reached', async () => {
    const { seen, port } = await receiver(ok)
    const lookup: LookupAll = async () => [
      { address: '127.0.0.99', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]
    expect(await webhook({ lookup })(`http://two.example.com:${port}/`)).toEqual({
      state: 'delivered',
    })
    expect(seen).toHaveLength(1)
  })
})

describe('Slack', () => {
  it('gets the text alone', async () => {
    const { seen, url } = await receiver(ok)
    const check = createAddressCheck({ allow: open, lookup: async () => [] })
    const slack = createSlackNotifier({ post: createPinnedPost({ check }) })
    const target = { settings: { kind: 'slack', host: 'x' } as const, secret: { url } }
    const shouting = { ...alert, message: 'look <!channel>\nnow' }
    expect(await slack.send(target, shouting, messageId)).toEqual({ state: 'delivered' })
    expect(JSON.parse(seen[0]!.body)).toEqual({
      text: '[critical] job-failed on web-1: look &lt;!channel&gt; now',
    })
  })
})
