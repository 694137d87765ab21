// Vaults and alerts as people reach them: a whole control plane on loopback, asked over HTTP.
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../control-plane/node/config.ts'
import { createPlane } from '../../control-plane/node/plane.ts'
import { type Serving, serve } from '../../control-plane/node/serve.ts'
import type { Role } from '../../shared/access/role.ts'
import { freePorts } from '../rig/ports.ts'

let data: string
let url: string
let plane: Awaited<ReturnType<typeof createPlane>>
let serving: Serving
let receiver: Server
const received: string[] = []
const lines: string[] = []
const say = (message: string, fields?: object) => void lines.push(JSON.stringify([message, fields]))
const log = { info: say, warn: say, error: say }
const tokens = {} as Record<Role, string>

beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), 'holdfast-plane-'))
  const [port] = await freePorts(1)
  const config = readConfig({
    HOLDFAST_DATA: data,
    HOLDFAST_LISTEN: `127.0.0.1:${port}`,
    HOLDFAST_WEBHOOK_ALLOW: '127.0.0.0/8',
  })
  url = config.publicUrl
  plane = await createPlane(config, log, '0.0.0-test')
  const { listen, tls, trustedProxies } = config
  const { raw, fetch, webSockets } = plane
  serving = await serve({ listen, tls, trustedProxies, raw, fetch, webSockets, log })
  for (const role of ['admin', 'operator', 'auditor'] as const) {
    tokens[role] = (await plane.apiTokens.create({ name: role, role }, undefined)).token
  }
  receiver = createServer((request, response) => {
    let body = ''
    request.on('data', (part) => {
      body += part
    })
    request.on('end', () => {
      received.push(body)
      response.end()
    })
  })
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
})
afterAll(async () => {
  await serving.stop()
  receiver.close()
  plane.close()
  rmSync(data, { recursive: true, force: true })
})

async function ask(role: Role, method: string, path: string, body?: unknown) {
  const answer = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${tokens[role]}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
}
const runTask = (name: string) => plane.tasks.find((task) => task.name === name)!.run()

describe('vaults over HTTP', () => {
  it('are added by admins, probed through their own door, and listed', async () => {
    const wanted = { name: 'local', place: { kind: 'disk' } }
    expect((await ask('operator', 'POST', '/vaults', wanted)).status).toBe(403)
    const added = await ask('admin', 'POST', '/vaults', wanted)
    expect(added).toMatchObject({ status: 201, body: { name: 'local', isDefault: true } })
    expect((await ask('admin', 'POST', '/vaults', wanted)).body.code).toBe('already-exists')
    const probed = await ask('operator', 'POST', '/vaults/local/probe')
    expect(probed.status).toBe(200)
    expect(probed.body.capabilities).toMatchObject({
      enforcesSha256: true,
      bindsMethodAndKey: true,
    })
    expect(probed.body.findings.map(({ level }: { level: string }) => level)).not.toContain(
      'danger',
    )
    const listed = await ask('operator', 'GET', '/vaults')
    expect(listed.body.items).toEqual([probed.body])
    expect((await ask('operator', 'GET', `/vaults/${added.body.id}`)).body).toEqual(probed.body)
    expect((await ask('operator', 'GET', '/vaults/none')).status).toBe(404)
    expect((await ask('auditor', 'GET', '/vaults')).status).toBe(403)
  })

  it('say which field is wrong', async () => {
    const place = {
      kind: 's3',
      endpoint: 'ftp://x',
      region: '',
      bucket: 'B',
      prefix: '/a',
      pathStyle: 1,
    }
    const answer = await ask('admin', 'POST', '/vaults', { name: 'x y', place, extra: 1 })
    expect(answer.status).toBe(422)
    const fields = answer.body.fields.map(({ path }: { path: string[] }) => path.join('.'))
    expect(fields.sort()).toEqual([
      'extra',
      'name',
      'place.bucket',
      'place.endpoint',
      'place.pathStyle',
      'place.prefix',
      'place.region',
    ])
  })

  it('leave /vault/ to signed URLs alone', async () => {
    for (const path of ['/vault/', '/vault/x/y', '//vault/x', '/VAULT/x']) {
      const answer = await fetch(url + path, {
        headers: { authorization: `Bearer ${tokens.admin}` },
      })
      expect(answer.status).toBeGreaterThanOrEqual(401)
    }
  })
})

describe('alerts over HTTP', () => {
  it('go from the test command to the receiver, visibly, with no secret shown twice', async () => {
    const { port } = receiver.address() as AddressInfo
    const target = `http://127.0.0.1:${port}/hooks/very-secret-path`
    const wanted = { kind: 'webhook', name: 'ops', url: target }
    expect((await ask('operator', 'POST', '/alert-channels', wanted)).status).toBe(403)
    const made = await ask('admin', 'POST', '/alert-channels', wanted)
    expect(made.status).toBe(201)
    expect(made.body.secret).toMatch(/^whsec_/)

    const sent = await ask('operator', 'POST', '/alert-channels/ops/test')
    expect(sent).toMatchObject({ status: 202, body: { state: 'pending', channel: 'ops' } })
    await runTask('alerts')
    expect(received.map((body) => JSON.parse(body))).toMatchObject([
      {
        alert_type: 'test',
        hostname: 'control-plane',
        text: expect.stringContaining('test of the alert'),
      },
    ])
    const deliveries = await ask('operator', 'GET', '/alert-deliveries?state=delivered&limit=1')
    expect(deliveries.body).toMatchObject({ items: [{ id: sent.body.id, attempts: 1 }] })

    const listed = await ask('operator', 'GET', '/alert-channels')
    const shown = JSON.stringify([listed.body, deliveries.body, lines])
    expect(shown).not.toContain('very-secret-path')
    expect(shown).not.toContain(made.body.secret)
    expect(listed.body.items[0].settings).toEqual({ kind: 'webhook', host: `127.0.0.1:${port}` })
    const audit = await ask('auditor', 'GET', '/audit')
    expect(JSON.stringify(audit.body)).not.toContain('very-secret-path')
    expect(JSON.stringify(audit.body)).toContain('alert-channel.tested')
    for (const file of ['holdfast.db', 'holdfast.db-wal']) {
      expect(readFileSync(join(data, file)).toString('latin1')).not.toContain('very-secret-path')
    }
    expect((await ask('admin', 'DELETE', '/alert-channels/ops')).status).toBe(204)
    expect((await ask('admin', 'DELETE', '/alert-channels/ops')).status).toBe(404)
  })

  it('refuse inner targets when the channel is made, and name the field', async () => {
    for (const [target, words] of [
      ['https://169.254.169.254/latest', 'its address is not on the public Internet'],
      ['https://10.0.0.1/', 'its address is not on the public Internet'],
      ['https://user:pass@hooks.example.com/', 'it must hold no user or password'],
      ['http://8.8.8.8/', 'it must be an https URL'],
    ]) {
      const answer = await ask('admin', 'POST', '/alert-channels', {
        kind: 'slack',
        name: 'inner',
        url: target,
      })
      expect([answer.status, answer.body.fields]).toEqual([
        422,
        [{ path: ['url'], message: words }],
      ])
    }
  })
})
