// Long because: every answer a store can give is a case here, and all of them share one scripted store.
import { createHash } from 'node:crypto'
import { Agent, createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Grant, WantedGrant } from '../../shared/protocol/calls.ts'
import type { GrantSource } from './grant-desk.ts'
import { StorageError } from './object-store.ts'
import { createPresignedStore, grantedObject, type PresignedDeps } from './presigned.ts'

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void

const bytes = Buffer.from('a pack, as far as a store can tell')
const id = createHash('sha256').update(bytes).digest('hex')
const key = `data/${id.slice(0, 2)}/${id}`

/** Reads the whole body, then answers. */
const answer =
  (status: number, body = '', headers: Record<string, string> = {}): Answer =>
  (_request, response) => {
    response.writeHead(status, headers).end(body)
  }
const s3Error = (status: number, code: string): Answer =>
  answer(status, `<Error><Code>${code}</Code><Message>secret?</Message></Error>`)

let script: Answer[]
let seen: { method: string; url: string; headers: IncomingMessage['headers']; body: Buffer }[]
let origin: string
let server: ReturnType<typeof createServer>
const agent = new Agent({ keepAlive: true })

beforeEach(async () => {
  script = []
  seen = []
  server = createServer((request, response) => {
    const parts: Buffer[] = []
    const next = script.shift() ?? answer(500)
    // A hook on the first byte: some answers do not wait for the body.
    if ('early' in next) next(request, response, Buffer.alloc(0))
    request.on('data', (part) => parts.push(part))
    request.on('error', () => {})
    request.on('end', () => {
      const body = Buffer.concat(parts)
      const { method = '', url = '', headers } = request
      seen.push({ method, url, headers, body })
      if (!('early' in next)) next(request, response, body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

/** Time that passes only by sleeping, so that ten minutes of patience take none. */
function virtualClock() {
  let at = 0
  const sleeps: number[] = []
  return {
    sleeps,
    pass: (ms: number) => {
      at += ms
    },
    now: () => at,
    monotonic: () => at,
    async sleep(ms: number) {
      sleeps.push(ms)
      at += ms
    },
  }
}

function rig(options: Partial<PresignedDeps> & { seconds?: number } = {}) {
  const clock = virtualClock()
  const asked: { wanted: WantedGrant[]; stored: string[] }[] = []
  const states: ('stored' | 'exists' | 'absent')[] = []
  const storedAsked: unknown[] = []
  let serial = 0
  const grants: GrantSource = {
    async grants(request) {
      asked.push(request)
      return request.wanted.map((wanted): Grant => {
        serial++
        const length: Record<string, string> =
          wanted.method === 'PUT' ? { 'Content-Length': String(wanted.bytes) } : {}
        return {
          method: wanted.method,
          id: wanted.id,
          url: `${origin}/bucket/${wanted.id}?X-Amz-Signature=hush${serial}`,
          headers: { ...length, 'x-amz-acl': 'private' },
          seconds: options.seconds ?? 900,
        }
      })
    },
    async stored(objects) {
      storedAsked.push(objects)
      return objects.map((object) => ({ id: object.id, state: states.shift() ?? 'stored' }))
    },
  }
  const stop = new AbortController()
  const stored: string[] = []
  const store = createPresignedStore({
    grants,
    agentFor: () => agent,
    clock,
    random: { bytes: (n) => new Uint8Array(n).fill(0x80) },
    signal: stop.signal,
    mayBegin: async () => {},
    onStored: (object) => stored.push(object.id),
    limits: { connect: 1_000, stall: 150 },
    ...options,
  })
  return { store, clock, asked, states, storedAsked, stop, stored }
}

async function failure(promise: Promise<unknown>): Promise<StorageError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(StorageError)
  expect((error as Error).message).not.toContain('hush')
  expect(String((error as Error).stack)).not.toContain('X-Amz-Signature')
  return error as StorageError
}

describe('put', () => {
  it('names the MD5 where the store does not check SHA-256, and only there', async () => {
    script = [answer(200), answer(200)]
    const plain = rig()
    await plain.store.put(key, id, bytes)
    expect(plain.asked[0]?.wanted[0]).not.toHaveProperty('md5')
    const careful = rig({ md5: true })
    await careful.store.put(key, id, bytes)
    const md5 = createHash('md5').update(bytes).digest('hex')
    expect(careful.asked[0]?.wanted[0]).toMatchObject({ md5 })
  })

  it('sends exactly the headers of the grant and the bytes', async () => {
    script = [answer(200)]
    const it = rig()
    await it.store.put(key, id, bytes, { type: 'tree' })
    expect(it.asked[0]?.wanted[0]).toEqual({
      method: 'PUT',
      what: 'pack',
      id,
      bytes: bytes.length,
      type: 'tree',
    })
    expect(seen[0]?.body).toEqual(bytes)
    const { connection: _, ...headers } = seen[0]!.headers
    expect(headers).toEqual({
      host: new URL(origin).host,
      'content-length': String(bytes.length),
      'x-amz-acl': 'private',
    })
    expect(it.stored).toEqual([id])
  })

  it.each([
    ['503', s3Error(503, 'SlowDown')],
    ['500', answer(500)],
    ['429', answer(429)],
    ['409', s3Error(409, 'ConditionalRequestConflict')],
    ['a reset', ((request) => request.socket.destroy()) as Answer],
    ['silence', (() => {}) as Answer],
  ])('tries again after %s', async (_what, fault) => {
    script = [fault, fault, answer(200)]
    const it = rig()
    await it.store.put(key, id, bytes)
    expect(it.clock.sleeps).toHaveLength(2)
    expect(it.asked).toHaveLength(1)
    expect(it.stored).toEqual([id])
  })

  it('gives up after ten minutes of a dead store and says what it saw last', async () => {
    const it = rig()
    const error = await failure(it.store.put(key, id, bytes))
    expect(error.code).toBe('unreachable')
    expect(error.message).toMatch(/gave up after 10 minutes: PUT http:.*\/bucket\/.*: 500$/)
    const waited = it.clock.sleeps.reduce((sum, ms) => sum + ms, 0)
    expect(waited).toBeGreaterThanOrEqual(600_000)
    expect(waited).toBeLessThan(640_000)
  })

  it('takes a 412 for stored when the control plane sees it stored', async () => {
    script = [s3Error(412, 'PreconditionFailed')]
    const it = rig()
    await it.store.put(key, id, bytes)
    expect(it.storedAsked).toEqual([[{ what: 'pack', id, bytes: bytes.length }]])
    expect(it.stored).toEqual([id])
  })

  it('never retries a name that holds another size', async () => {
    script = [s3Error(412, 'PreconditionFailed'), answer(200)]
    const it = rig()
    it.states.push('exists')
    expect((await failure(it.store.put(key, id, bytes))).code).toBe('exists')
    expect(seen).toHaveLength(1)
    expect(it.stored).toEqual([])
  })

  it('asks for a new grant when a 412 was for a name that is absent', async () => {
    script = [s3Error(412, 'PreconditionFailed'), answer(200)]
    const it = rig()
    it.states.push('absent')
    await it.store.put(key, id, bytes)
    expect(it.asked).toHaveLength(2)
    expect(seen[1]?.url).toContain('hush2')
  })

  it('asks for a new grant at once when a URL is refused, and gives up at the third refusal', async () => {
    script = [s3Error(403, 'AccessDenied'), answer(200)]
    const lucky = rig()
    await lucky.store.put(key, id, bytes)
    expect(lucky.asked).toHaveLength(2)
    expect(lucky.clock.sleeps).toEqual([])

    script = [1, 2, 3, 4].map(() => s3Error(403, 'SignatureDoesNotMatch'))
    const unlucky = rig()
    const error = await failure(unlucky.store.put(key, id, bytes))
    expect(error.code).toBe('denied')
    expect(error.message).toContain('403 SignatureDoesNotMatch')
    expect(unlucky.asked).toHaveLength(3)
  })

  it('calls a skewed clock by its name', async () => {
    script = [1, 2, 3].map(() => s3Error(403, 'RequestTimeTooSkewed'))
    expect((await failure(rig().store.put(key, id, bytes))).code).toBe('clock-skew')
  })

  it('sends the same bytes once more when the store saw others, then says so', async () => {
    script = [s3Error(400, 'XAmzContentSHA256Mismatch'), answer(200)]
    await rig().store.put(key, id, bytes)
    script = [1, 2, 3].map(() => s3Error(400, 'BadDigest'))
    seen = []
    expect((await failure(rig().store.put(key, id, bytes))).code).toBe('corrupt')
    expect(seen).toHaveLength(2)
  })

  it('does not begin with a URL that has less than two minutes left', async () => {
    const it = rig()
    script = [
      (_request, response) => {
        it.clock.pass(785_000)
        response.writeHead(503).end()
      },
      answer(200),
    ]
    await it.store.put(key, id, bytes)
    expect(it.asked).toHaveLength(2)
  })

  it('reads an early refusal although the store stops listening', async () => {
    const big = Buffer.alloc(8 * 2 ** 20, 7)
    const bigId = createHash('sha256').update(big).digest('hex')
    const early: Answer & { early?: true } = (request, response) => {
      response.writeHead(501, { connection: 'close' }).end('<Code>NotImplemented</Code>')
      request.pause()
    }
    early.early = true
    script = [early]
    const error = await failure(rig().store.put(`data/${bigId.slice(0, 2)}/${bigId}`, bigId, big))
    expect(error.message).toContain('501 NotImplemented')
  })

  it('survives a lost answer: what was stored then answers 412', async () => {
    script = [(request) => request.socket.destroy(), s3Error(412, 'PreconditionFailed')]
    const it = rig()
    await it.store.put(key, id, bytes)
    expect(it.stored).toEqual([id])
  })

  it('waits while the lease is away, and does not count that as the store failing', async () => {
    script = [answer(503), answer(503), answer(200)]
    let calls = 0
    const it = rig({
      mayBegin: async () => {
        if (calls++ === 1) it.clock.pass(3_600_000)
      },
    })
    await it.store.put(key, id, bytes)
    expect(it.stored).toEqual([id])
  })

  it('waits as long as a busy store asks, in seconds or until a date of its own', async () => {
    const { store, clock } = rig()
    const date = 'Thu, 01 Jan 2026 00:00:00 GMT'
    const later = 'Thu, 01 Jan 2026 00:00:11 GMT'
    script = [
      answer(503, '<Error><Code>SlowDown</Code></Error>', { 'Retry-After': '7' }),
      answer(429, '', { date, 'Retry-After': later }),
      answer(200),
    ]
    await store.put(key, id, bytes)
    expect(seen).toHaveLength(3)
    expect(clock.now()).toBeGreaterThanOrEqual(18_000)
    expect(clock.now()).toBeLessThan(22_000)
  })

  it('spreads its attempts over the whole of a window that doubles', async () => {
    const { store, clock } = rig()
    script = Array.from({ length: 7 }, () => answer(500))
    script.push(answer(200))
    await store.put(key, id, bytes)
    // The scripted chance is a half each time.
    expect(clock.sleeps.map((ms) => Math.round(ms / 500) / 2)).toEqual([0.5, 1, 2, 4, 8, 15, 15])
  })

  it('has the next grants at hand while a place is waited for', async () => {
    const { store, asked } = rig({ uploadsAtMost: () => 1 })
    const finish: (() => void)[] = []
    const slow: Answer = (_request, response) => void finish.push(() => response.end())
    script = [slow, slow, slow]
    const puts = ['one', 'two', 'three'].map((text) => {
      const body = Buffer.from(text.repeat(30))
      const name = createHash('sha256').update(body).digest('hex')
      return store.put(`data/${name.slice(0, 2)}/${name}`, name, body)
    })
    const until = async (what: () => boolean) => {
      while (!what()) await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await until(() => finish.length === 1)
    expect(asked.flatMap(({ wanted }) => wanted)).toHaveLength(3)
    expect(seen).toHaveLength(1)
    for (let n = 1; n <= 3; n++) {
      finish.shift()!()
      if (n < 3) await until(() => finish.length === 1)
    }
    await Promise.all(puts)
    expect(seen).toHaveLength(3)
  })

  it('stops at once when told to', async () => {
    script = [() => {}]
    const it = rig({ limits: { connect: 5_000, stall: 5_000 } })
    const putting = it.store.put(key, id, bytes)
    await new Promise((resolve) => setTimeout(resolve, 30))
    it.stop.abort(new Error('told to'))
    await expect(putting).rejects.toThrow('told to')
  })

  it('gives up one transfer when its own caller does, and goes on with others', async () => {
    script = [() => {}, answer(200)]
    const it = rig({ limits: { connect: 5_000, stall: 5_000 } })
    const stop = new AbortController()
    const putting = it.store.put(key, id, bytes, { signal: stop.signal })
    await new Promise((resolve) => setTimeout(resolve, 30))
    stop.abort(new Error('enough'))
    await expect(putting).rejects.toThrow('enough')
    await it.store.put(key, id, bytes)
    expect(it.stored).toEqual([id])
  })

  it('refuses keys that never travel by grant, and names that are not the hash', async () => {
    const it = rig()
    expect((await failure(it.store.put('config', id, bytes))).code).toBe('denied')
    expect((await failure(it.store.put(key, 'f'.repeat(64), bytes))).code).toBe('denied')
    expect(grantedObject(`data/00/${id}`)).toBeUndefined()
    expect(grantedObject(`snapshots/${id}`)).toBeUndefined()
    expect(grantedObject(`index/${id}`)).toEqual({ what: 'index', id })
  })

  it('reports used grants with the next question', async () => {
    const it = rig()
    const other = Buffer.from('another pack')
    const otherId = createHash('sha256').update(other).digest('hex')
    script = [answer(200), answer(200)]
    await it.store.put(key, id, bytes)
    await it.store.put(`data/${otherId.slice(0, 2)}/${otherId}`, otherId, other)
    expect(it.asked[1]?.stored).toEqual([id])
  })
})

describe('get', () => {
  const whole = Buffer.from('0123456789')
  const ranged: Answer = (request, response) => {
    const [from, to] = /bytes=(\d+)-(\d+)/
      .exec(request.headers.range ?? '')!
      .slice(1)
      .map(Number)
    response
      .writeHead(206, { 'content-range': `bytes ${from}-${to}/${whole.length}` })
      .end(whole.subarray(from, to! + 1))
  }

  it('reads ranges of one pack under one grant', async () => {
    script = [ranged, ranged]
    const it = rig()
    expect(await it.store.get(key, { offset: 2, length: 3 })).toEqual(Buffer.from('234'))
    expect(await it.store.get(key, { offset: 9, length: 1 })).toEqual(Buffer.from('9'))
    expect(it.asked).toHaveLength(1)
    expect(it.asked[0]?.wanted).toEqual([{ method: 'GET', what: 'pack', id }])
  })

  it('asks for many grants in one question', async () => {
    script = Array.from({ length: 6 }, () => answer(200, 'x'))
    const it = rig()
    const names = [1, 2, 3, 4, 5, 6].map((n) => String(n).repeat(64))
    await Promise.all(names.map((name) => it.store.get(`index/${name}`)))
    expect(it.asked).toHaveLength(1)
    expect(it.asked[0]?.wanted).toHaveLength(6)
  })

  it('says when there is no such object', async () => {
    script = [s3Error(404, 'NoSuchKey')]
    expect((await failure(rig().store.get(key))).code).toBe('absent')
  })
  it.each([
    [
      'a body that breaks off',
      ((_request, response) => {
        response.writeHead(206, { 'content-range': 'bytes 0-9/10', 'content-length': '10' })
        response.write('0123')
        setTimeout(() => response.destroy(), 10)
      }) as Answer,
    ],
    ['fewer bytes with a clean end', answer(206, '0123', { 'content-range': 'bytes 0-3/10' })],
    ['another range', answer(206, '0123456789', { 'content-range': 'bytes 1-10/11' })],
    ['more bytes than asked for', answer(206, '0123456789X', { 'content-range': 'bytes 0-9/11' })],
    [
      'a stalled body',
      ((_request, response) => {
        response.writeHead(206, { 'content-range': 'bytes 0-9/10', 'content-length': '10' })
        response.write('0123')
      }) as Answer,
    ],
  ])('tries again after %s', async (_what, fault) => {
    script = [fault, ranged]
    expect(await rig().store.get(key, { offset: 0, length: 10 })).toEqual(whole)
  })

  it('does not wait for bytes that the store says are not there', async () => {
    script = [answer(206, '0123', { 'content-range': 'bytes 0-3/4' })]
    const { code } = await failure(rig().store.get(key, { offset: 0, length: 10 }))
    expect([code, seen.length]).toEqual(['truncated', 1])
  })

  it('takes a new grant when the old URL lapsed, and uses that one from then on', async () => {
    script = [ranged, s3Error(403, 'AccessDenied'), ranged, ranged]
    const it = rig()
    for (let i = 0; i < 3; i++) await it.store.get(key, { offset: i, length: 1 })
    expect(it.asked).toHaveLength(2)
    expect(seen[3]?.url).toContain('hush2')
  })

  it('passes on a refused grant with its cause', async () => {
    const cause = new Error('a person has to approve this')
    const it = rig({
      grants: { grants: () => Promise.reject(cause), stored: () => Promise.reject(cause) },
    })
    const error = await failure(it.store.get(key))
    expect(error.code).toBe('denied')
    expect(error.cause).toBe(cause)
  })
})
