// Hosts, what they have, what covers it, and the tokens with which they join.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MINUTE } from '../../shared/clock.ts'
import { openRig, type Rig } from './rig.ts'

let rig: Rig
let admin: string
let operator: string
beforeAll(async () => {
  rig = await openRig()
  admin = await rig.token('admin')
  operator = await rig.token('operator')
})
afterAll(() => rig.close())

const get = (path: string, token = operator) => rig.call('GET', `/api/v1/${path}`, { token })
const put = (name: string, document: object, query = '', token = operator) =>
  rig.call('PUT', `/api/v1/policies/${name}${query}`, { token, body: document })
const document = (name: string, more: object = {}) => ({
  apiVersion: 'holdfast/v1',
  kind: 'Policy',
  name,
  select: { volumes: ['*'] },
  ...more,
})

describe('hosts', () => {
  it('are shown by name or id, with how they are', async () => {
    const host = await rig.host('web-1', ['data', 'logs'])
    const { body } = await get('hosts')
    expect(body.items).toHaveLength(1)
    expect(body.items[0]).toMatchObject({
      name: 'web-1',
      state: 'alive',
      sources: 2,
      repositoryState: 'ready',
    })
    expect((await get(`hosts/${host.id}`)).body).toEqual((await get('hosts/web-1')).body)
    rig.clock.advance(20 * MINUTE)
    expect((await get('hosts/web-1')).body.state).toBe('silent')
    expect((await get('hosts/web-9')).body.detail).toBe('there is no host "web-9"')
  })

  it('leave the fleet only when nothing runs, and free their name', async () => {
    const host = await rig.host('old-1', ['data'])
    const { body } = await rig.call('POST', '/api/v1/jobs/backup', {
      token: admin,
      body: { host: 'old-1', sources: ['volume:data'] },
    })
    const id = body.items[0].id as string
    await rig.database.write([`UPDATE jobs SET state = 'running', attempt = 1 WHERE id = '${id}'`])
    const busy = await rig.call('DELETE', '/api/v1/hosts/old-1', { token: admin })
    expect([busy.status, busy.body.code, busy.body.detail]).toEqual([
      409,
      'in-use',
      'a job runs on host "old-1"',
    ])
    await rig.database.write([`UPDATE jobs SET state = 'queued' WHERE id = '${id}'`])
    expect((await rig.call('DELETE', '/api/v1/hosts/old-1', { token: admin })).status).toBe(204)
    expect(rig.disconnected).toEqual([host.id])
    expect((await get(`jobs/${id}`)).body).toMatchObject({
      state: 'finished',
      outcome: 'cancelled',
    })
    expect((await get('hosts/old-1')).status).toBe(404)
    expect(
      (await get('sources')).body.items.some(
        (one: { hostName: string }) => one.hostName === 'old-1',
      ),
    ).toBe(false)
    await rig.host('old-1', ['data'])
    expect((await get('hosts/old-1')).body).toMatchObject({ name: 'old-1', vault: 'local' })
  })
})

describe('enrolment tokens', () => {
  it('are shown once, live ten minutes, and are stored as a hash', async () => {
    const { status, body } = await rig.call('POST', '/api/v1/enrolment-tokens', {
      token: operator,
      body: {},
    })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      vault: 'local',
      url: 'https://plane.test',
      command: 'holdfast-agent enroll --url https://plane.test --recovery age1…',
    })
    expect(body.command).not.toContain(body.token)
    expect(Date.parse(body.expiresAt) - rig.clock.now()).toBe(10 * MINUTE)
    const dump = await rig.database.read('SELECT * FROM enrolment_tokens')
    expect(JSON.stringify(dump.rows)).not.toContain(body.token.slice(-64))
  })

  it('refuse a vault that is not there', async () => {
    const { body } = await rig.call('POST', '/api/v1/enrolment-tokens', {
      token: operator,
      body: { vault: 'moon' },
    })
    expect(body.detail).toBe('there is no vault "moon"')
  })
})

describe('policies', () => {
  it('are made, replaced, left alone, guarded by version, and deleted', async () => {
    const made = await put('p', document('p', { schedule: { cron: '0 3 * * *' } }))
    expect(made.body).toMatchObject({ change: 'created', version: 1 })
    expect(made.body.nextAt).toMatch(/T03:00:00\.000Z$/)
    expect((await put('p', document('p', { schedule: { cron: '0 3 * * *' } }))).body).toMatchObject(
      { change: 'unchanged', version: 1 },
    )
    const changed = await put('p', document('p', { schedule: { cron: '0 4 * * *' } }), '?version=1')
    expect(changed.body).toMatchObject({ change: 'replaced', version: 2 })
    const stale = await put('p', document('p'), '?version=1')
    expect([stale.status, stale.body.detail]).toEqual([409, 'policy "p" is at version 2, not 1'])
    expect((await put('q', document('q'), '?version=7')).body.detail).toBe(
      'there is no policy "q", so it has no version 7',
    )
    const list = await get('policies')
    expect(list.body.items.map(({ name }: { name: string }) => name)).toEqual(['p'])
    expect(
      (await rig.call('DELETE', '/api/v1/policies/p?version=1', { token: operator })).status,
    ).toBe(409)
    expect((await rig.call('DELETE', '/api/v1/policies/p', { token: operator })).status).toBe(204)
    expect((await get('policies/p')).body.detail).toBe('there is no policy "p"')
    expect((await put('p', document('p'), '?version=0')).body.change).toBe('created')
    await rig.call('DELETE', '/api/v1/policies/p', { token: operator })
  })

  it('keep a slot that is due this moment when only the rest of the document changes', async () => {
    await put('kept', document('kept', { schedule: { cron: '* * * * *' } }))
    const before = (await get('policies/kept')).body.nextAt
    rig.clock.advance(5 * MINUTE)
    const after = await put(
      'kept',
      document('kept', { schedule: { cron: '* * * * *' }, volatile: ['*.log'] }),
    )
    expect(after.body.nextAt).toBe(before)
    await rig.call('DELETE', '/api/v1/policies/kept', { token: operator })
  })

  it('delete their waiting scheduled runs with them', async () => {
    await rig.host('due-1', ['data'])
    await put('due', document('due', { select: { hosts: ['due-1'], volumes: ['*'] } }))
    const { body } = await rig.call('POST', '/api/v1/jobs/backup', {
      token: admin,
      body: { policy: 'due' },
    })
    await rig.database.write([`UPDATE jobs SET slot_at = 1 WHERE id = '${body.items[0].id}'`])
    await rig.call('DELETE', '/api/v1/policies/due', { token: operator })
    expect((await get(`jobs/${body.items[0].id}`)).body).toMatchObject({
      outcome: 'cancelled',
      message: 'the policy was deleted',
    })
  })

  it('say what they cover, and sources say what covers them', async () => {
    await rig.host('cov-1', [{ name: 'pg', labels: { backup: 'critical' } }, 'other'])
    const { body } = await put(
      'critical',
      document('critical', { select: { hosts: ['cov-*'], labels: { backup: 'crit*' } } }),
    )
    expect(body.covers.map(({ source }: { source: string }) => source)).toEqual(['volume:pg'])
    const all = (await get('sources?host=cov-1')).body.items as {
      name: string
      policies: string[]
    }[]
    expect(all.map(({ name, policies }) => [name, policies])).toEqual([
      ['other', []],
      ['pg', ['critical']],
    ])
    const open = (await get('sources?host=cov-1&unprotected=true')).body.items as { name: string }[]
    expect(open.map(({ name }) => name)).toEqual(['other'])
  })

  it.each([
    [
      { schedule: { cron: '61 * * * *' } },
      ['schedule', 'cron'],
      'cron "61 * * * *" is not usable: Invalid value for minute: 61',
    ],
    [
      { schedule: { cron: '* *' } },
      ['schedule', 'cron'],
      'cron "* *" has 2 fields; five are needed, or six with seconds first',
    ],
    [{ schedule: { cron: '0 0 31 2 *' } }, ['schedule', 'cron'], 'cron "0 0 31 2 *" never fires'],
    [
      { schedule: { cron: '@daily', timezone: 'Mars/Base' } },
      ['schedule', 'timezone'],
      'unknown time zone "Mars/Base"; use an IANA name such as "Europe/Berlin" or "UTC"',
    ],
    [{ retained: 3 }, ['retained'], 'unknown field'],
    [
      { select: {} },
      ['select'],
      expect.stringMatching(/^selects nothing: give volumes, labels, projects/),
    ],
    [
      { select: { volumes: ['*'], directories: ['etc'] } },
      ['select', 'directories', 0],
      'must be an absolute path without empty, "." or ".." parts',
    ],
    [{ name: 'other' }, ['name'], 'must be the name in the address'],
    [{ name: undefined }, ['name'], 'is required'],
  ])('refuse %j, naming the field', async (more, path, message) => {
    const answer = await put('bad', document('bad', more))
    expect(answer.status).toBe(422)
    expect(answer.body.fields).toContainEqual({ path, message })
    expect((await get('policies/bad')).status).toBe(404)
  })
})

describe('repositories', () => {
  it('come with the commands that reach them without us, and the sealed escrow', async () => {
    const host = await rig.host('repo-1', ['data'])
    await rig.database.write([
      {
        sql: `INSERT INTO escrows (repository, n, recipient, sealed, at) VALUES (?, 1, 'age1x', 'c2VhbGVk', ?)`,
        args: [host.repository, rig.clock.now()],
      },
    ])
    const { body } = await get('repositories/repo-1')
    expect(body).toMatchObject({
      hostName: 'repo-1',
      vault: 'local',
      place: { kind: 'disk' },
      escrows: [{ n: 1, recipient: 'age1x', sealed: 'c2VhbGVk' }],
    })
    expect(body.restic.read).toMatch(
      /^sudo -u holdfast env RESTIC_PASSWORD_FILE=recovery\.password restic -r \/.*\/vaults\/[0-9a-f-]+\/repositories\/[0-9a-f-]+ --no-lock snapshots$/,
    )
    expect((await get(`repositories/${host.repository}`)).body).toEqual(body)
    const seen = await rig.database.read(
      "SELECT COUNT(*) AS n FROM audit WHERE action = 'escrow.read' AND target = ?",
      [`repository:${host.repository}`],
    )
    expect(seen.rows[0]?.n).toBe(2)
    expect((await get('repositories')).body.items.length).toBeGreaterThan(0)
    expect((await get('repositories/none')).body.detail).toBe('there is no repository "none"')
  })
})
