import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { access } from '../../control-plane/http/access.ts'
import { roles } from '../../shared/access/role.ts'
import { DAY } from '../../shared/clock.ts'
import { openRig, type Rig } from './rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await openRig()
})
afterAll(() => rig.close())

/** `METHOD /path` of everything the app routes; middleware answers to every method. */
function routes(): string[] {
  const found = rig.app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path}`)
  return [...new Set(found)]
}

/** A request that reaches the route's own code, whatever it then says. */
function concrete(path: string): string {
  return path
    .replace(/:(?:id|job|delivery)\b/, '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee')
    .replace(/:\w+/g, '0')
}

describe('the table of roles', () => {
  it('has a row for every route, and no row without a route', () => {
    expect(Object.keys(access).sort()).toEqual(routes().sort())
  })

  it('lets auditors into the log and nowhere else', () => {
    const entered = Object.entries(access)
      .filter(([, row]) => row !== 'open' && row.includes('auditor'))
      .map(([route]) => route)
    expect(entered).toEqual(['GET /api/v1/audit'])
  })

  it('opens nothing but health and documents', () => {
    const open = Object.entries(access)
      .filter(([, row]) => row === 'open')
      .map(([route]) => route)
    expect(open.sort()).toEqual([
      'GET /api/v1/openapi.json',
      'GET /api/v1/policy.schema.json',
      'GET /health/live',
      'GET /health/ready',
    ])
  })
})

describe('every route, asked by everybody', () => {
  it('admits the roles of its row and refuses all others', async () => {
    const secret = '0'.repeat(64)
    const refused = {
      nobody: undefined,
      nonsense: 'not-a-token',
      stranger: `hf_api_0123456789abcdef_${secret}`,
      'right id, wrong secret': `${(await rig.token('admin')).slice(0, 24)}${secret}`,
      'enrolment token': `hf_enroll_0123456789abcdef_${secret}`,
      expired: await rig.token('admin', 1),
      revoked: await rig.token('admin'),
    }
    rig.clock.advance(2 * DAY)
    const revoked = refused.revoked.split('_')[2]!
    const admin = await rig.token('admin')
    const gone = await rig.call('DELETE', `/api/v1/api-tokens/${revoked}`, { token: admin })
    expect(gone.status).toBe(204)

    let asked = 0
    for (const route of routes()) {
      const [method, path] = route.split(' ') as [string, string]
      const row = access[route]!
      const ask = async (token: string | undefined) => {
        asked++
        const body = method === 'GET' || method === 'DELETE' ? undefined : {}
        // Each from another address: failures of one must not stop the next.
        const address = `192.0.2.${asked}`
        return rig.call(method, concrete(path), { token, body, address })
      }
      for (const [who, token] of Object.entries(refused)) {
        const { status, body } = await ask(token)
        if (row === 'open') expect([200, 503], `${route} for ${who}`).toContain(status)
        else {
          expect(status, `${route} for ${who}`).toBe(401)
          expect(body.code).toBe(who === 'expired' ? 'token-expired' : 'unauthenticated')
        }
      }
      for (const role of roles) {
        const { status } = await ask(await rig.token(role))
        const admitted = row === 'open' || row.includes(role)
        if (admitted) expect([401, 403], `${route} for ${role}`).not.toContain(status)
        else expect(status, `${route} for ${role}`).toBe(403)
        expect(status, `${route} for ${role}`).toBeLessThan(500)
      }
    }
    expect(asked).toBe(routes().length * (Object.keys(refused).length + roles.length))
    expect(rig.faults).toEqual([])
  })

  it('notes in the log that somebody known was refused', async () => {
    const auditor = await rig.token('auditor')
    await rig.call('GET', '/api/v1/hosts', { token: auditor })
    const log = await rig.call('GET', '/api/v1/audit?action=access.refused&limit=1', {
      token: auditor,
    })
    expect(log.body.items[0].event).toMatchObject({
      action: 'access.refused',
      outcome: 'refused',
      target: 'route:GET /api/v1/hosts',
      details: { role: 'auditor' },
    })
  })
})

describe('what is refused', () => {
  it('says what to do, in the words of a problem document', async () => {
    const texts: Record<string, unknown> = {}
    for (const [who, token] of Object.entries({
      nobody: undefined,
      stranger: `hf_api_0123456789abcdef_${'0'.repeat(64)}`,
      expired: await rig.token('operator', 1),
    })) {
      if (who === 'expired') rig.clock.advance(DAY)
      const { status, body, headers } = await rig.call('GET', '/api/v1/hosts', { token })
      expect(headers.get('content-type')).toBe('application/problem+json')
      expect(body.status).toBe(status)
      texts[who] = body.detail
    }
    expect(texts.nobody).toBe('a token is needed')
    expect(texts.stranger).toBe('the token is not valid')
    expect(texts.expired).toMatch(/^the token "the operator" expired at 20\d\d-/)
    const forbidden = await rig.call('DELETE', '/api/v1/hosts/x', {
      token: await rig.token('operator'),
    })
    expect(forbidden.body.detail).toBe('the role operator may not do this; it needs admin')
  })

  it('answers an unknown path and a wrong method with 404', async () => {
    const token = await rig.token('admin')
    expect((await rig.call('GET', '/api/v1/nothing', { token })).status).toBe(404)
    expect((await rig.call('PATCH', '/api/v1/hosts', { token })).status).toBe(404)
  })

  it('slows down an address that shows wrong tokens, and nobody else', async () => {
    const address = '198.51.100.7'
    const wrong = `hf_api_0123456789abcdef_${'0'.repeat(64)}`
    const statuses: number[] = []
    for (let i = 0; i < 25; i++) {
      statuses.push((await rig.call('GET', '/api/v1/hosts', { token: wrong, address })).status)
    }
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(401))
    expect(statuses.slice(20)).toEqual(Array(5).fill(429))
    const right = await rig.token('admin')
    expect((await rig.call('GET', '/api/v1/hosts', { token: right, address })).status).toBe(200)
    const elsewhere = { token: wrong, address: '198.51.100.8' }
    expect((await rig.call('GET', '/api/v1/hosts', elsewhere)).status).toBe(401)
    rig.clock.advance(6_000)
    expect((await rig.call('GET', '/api/v1/hosts', { token: wrong, address })).status).toBe(401)
  })

  it('takes no body over 1 MiB and none that is not JSON', async () => {
    const token = await rig.token('admin')
    const send = async (body: string, type: string) => {
      const response = await rig.app.request(
        '/api/v1/jobs/backup',
        {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': type },
          body,
        },
        { address: '192.0.2.1' },
      )
      const { code, detail } = (await response.json()) as { code: string; detail: string }
      return { status: response.status, code, detail }
    }
    const large = await send(JSON.stringify({ host: 'x'.repeat(1 << 20) }), 'application/json')
    expect([large.status, large.code]).toEqual([413, 'too-large'])
    const broken = await send('{', 'application/json')
    expect([broken.status, broken.detail]).toEqual([422, 'the body is not JSON'])
    const plain = await send('host=x', 'text/plain')
    expect([plain.status, plain.detail]).toEqual([422, 'the body must be JSON'])
  })

  it('sends the headers that keep browsers from guessing, and no CORS', async () => {
    const { headers } = await rig.call('GET', '/health/live')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('access-control-allow-origin')).toBeNull()
    const guarded = await rig.call('GET', '/api/v1/hosts', { token: await rig.token('admin') })
    expect(guarded.headers.get('cache-control')).toBe('no-store')
  })
})

describe('the OpenAPI document', () => {
  it('describes every route of the table but itself', async () => {
    const { body } = await rig.call('GET', '/api/v1/openapi.json')
    expect(body.openapi).toBe('3.1.0')
    const described = Object.entries(body.paths as Record<string, object>).flatMap(
      ([path, methods]) =>
        Object.keys(methods).map(
          (method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`,
        ),
    )
    const expected = Object.keys(access).filter((route) => !route.endsWith('openapi.json'))
    expect(described.sort()).toEqual(expected.sort())
  })

  it('gives every operation a summary and responses with schemas', async () => {
    const { body } = await rig.call('GET', '/api/v1/openapi.json')
    for (const methods of Object.values(body.paths as Record<string, Record<string, never>>)) {
      for (const operation of Object.values(methods) as {
        summary?: string
        responses: Record<string, { description: string; content?: object }>
      }[]) {
        expect(operation.summary).toBeTruthy()
        for (const [status, response] of Object.entries(operation.responses)) {
          expect(response.description).toBeTruthy()
          if (status !== '204') expect(response.content).toBeDefined()
        }
      }
    }
  })

  it('serves the JSON Schema of policies, with the limits editors can use', async () => {
    const { body } = await rig.call('GET', '/api/v1/policy.schema.json')
    expect(body.required).toEqual(expect.arrayContaining(['apiVersion', 'kind', 'name', 'select']))
    expect(body.properties.select.properties.volumes.type).toBe('array')
    expect(body.additionalProperties).toBe(false)
  })
})
