// What people ask hosts to do, with every refusal in its words.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRig, RECIPIENT, type Rig, type SeededHost } from './rig.ts'

let rig: Rig
let admin: string
let operator: string
let web: SeededHost
let db: SeededHost
let snapshot: string
beforeAll(async () => {
  rig = await openRig()
  admin = await rig.token('admin')
  operator = await rig.token('operator')
  web = await rig.host(
    'web-1',
    [
      { name: 'data', project: 'shop', labels: { tier: 'gold' } },
      'logs',
      { name: 'cache', unsupported: 'tmpfs keeps nothing' },
    ],
    { directories: ['/srv/www'] },
  )
  db = await rig.host('db-1', ['data'])
  await rig.host('bare-1', ['data'], { recovery: null })
  snapshot = await rig.snapshot(web, 'volume:data', rig.clock.now())
  await policy('gold', { labels: { tier: 'gold' } })
})
afterAll(() => rig.close())

const policy = (name: string, select: object) =>
  rig.call('PUT', `/api/v1/policies/${name}`, {
    token: admin,
    body: { apiVersion: 'holdfast/v1', kind: 'Policy', name, select, volatile: ['*.log'] },
  })
const post = (what: string, body: object, token = admin) =>
  rig.call('POST', `/api/v1/jobs/${what}`, { token, body })
const restore = (body: object, token = admin) => post('restore', { snapshot, ...body }, token)
const newVolume = (name: string) => ({ kind: 'new-volume', name })

describe('backup', () => {
  it('of named sources makes a job each, wakes the host and leaves an event', async () => {
    const sources = ['volume:data', 'directory:/srv/www', 'volume:data']
    const { status, body } = await post('backup', { host: 'web-1', sources }, operator)
    expect(status).toBe(202)
    expect(body.items.map((job: { source: string }) => job.source)).toEqual([
      'volume:data',
      'directory:/srv/www',
    ])
    expect(body.items[0]).toMatchObject({
      kind: 'backup',
      hostName: 'web-1',
      state: 'queued',
      policy: null,
      created: true,
      cancelRequested: false,
    })
    expect(rig.woken).toContain(web.id)
    const stored = await rig.stores.jobRequests.get(body.items[0].id)
    expect(stored?.parameters).toMatchObject({
      tags: [`job:${body.items[0].id}`, 'app:shop'],
      readAll: false,
    })
    const log = await rig.call('GET', `/api/v1/audit?job=${body.items[0].id}`, { token: admin })
    expect(log.body.items[0].event).toMatchObject({
      action: 'job.queued',
      host: web.id,
      details: { kind: 'backup', source: 'volume:data' },
    })
  })

  it('of a policy takes what it covers, and does not queue the same run twice', async () => {
    const first = await post('backup', { policy: 'gold' })
    expect(first.body.items).toHaveLength(1)
    expect(first.body.items[0]).toMatchObject({
      source: 'volume:data',
      policy: 'gold',
      created: true,
    })
    const again = await post('backup', { policy: 'gold' })
    expect(again.body.items[0]).toMatchObject({ id: first.body.items[0].id, created: false })
    const stored = await rig.stores.jobRequests.get(first.body.items[0].id)
    expect(stored?.parameters).toMatchObject({ volatile: ['*.log'] })
    expect(stored?.parameters).toHaveProperty('tags', expect.arrayContaining(['policy:gold']))
  })

  it('of a host that enrolled without a recovery recipient is for its agent to judge: its file may name one now', async () => {
    const { status, body } = await post('backup', { host: 'bare-1', sources: ['volume:data'] })
    expect([status, body.items?.[0]?.hostName]).toEqual([202, 'bare-1'])
  })

  it.each([
    [{ host: 'nowhere', sources: ['volume:data'] }, 404, 'there is no host "nowhere"'],
    [{ host: 'web-1', sources: ['volume:gone'] }, 404, 'host "web-1" has no source "volume:gone"'],
    [
      { host: 'web-1', sources: ['volume:cache'] },
      422,
      'source "volume:cache" cannot be backed up: tmpfs keeps nothing',
    ],
    [{ policy: 'silver' }, 404, 'there is no policy "silver"'],
    [{ policy: 'gold', host: 'db-1' }, 404, 'policy "gold" covers nothing on host "db-1"'],
    [{ sources: ['volume:data'] }, 422, 'host: sources are named together with their host'],
    [{ host: 'web-1' }, 422, 'sources: say what to back up: sources of a host, or a policy'],
    [{ host: 'web-1', sources: [] }, 422, 'sources: Too small: expected array to have >=1 items'],
    [{ host: 'web-1', volume: 'data' }, 422, 'volume: unknown field'],
  ])('refuses %j', async (body, status, detail) => {
    const answer = await post('backup', body)
    expect([answer.status, answer.body.detail]).toEqual([status, detail])
  })
})

describe('restore', () => {
  it('to a new volume carries the definition, without Compose labels under a new name', async () => {
    const { status, body } = await restore({ target: newVolume('data-2') }, operator)
    expect([status, body.kind, body.host]).toEqual([202, 'restore', web.id])
    const stored = await rig.stores.jobRequests.get(body.id)
    expect(stored?.parameters).toMatchObject({
      snapshot,
      source: { kind: 'volume', name: 'data' },
      volume: {
        driver: 'local',
        sealedOptions: 'AAAA',
        labels: {
          tier: 'gold',
          'holdfast.restored-from': `web-1/volume:data@${snapshot.slice(0, 8)}`,
        },
      },
    })
    expect(stored?.repository).toBe(web.repository)
  })

  it('under the same name keeps every label', async () => {
    const target = { kind: 'in-place', name: 'data', stopContainers: false, keepOldHours: 24 }
    const { body } = await restore({ target })
    const stored = await rig.stores.jobRequests.get(body.id)
    expect(stored?.parameters).toMatchObject({
      volume: { labels: { 'com.docker.compose.project': 'shop', tier: 'gold' } },
    })
  })

  it('to another host goes to that host with the foreign repository', async () => {
    const { body } = await restore({
      host: 'db-1',
      target: newVolume('from-web'),
      sealedPassword: 'AAAA',
    })
    const stored = await rig.stores.jobRequests.get(body.id)
    expect(stored).toMatchObject({ host: db.id, repository: web.repository })
  })

  const inPlace = { kind: 'in-place', name: 'data', stopContainers: true, keepOldHours: 24 }
  it.each([
    [
      'operator',
      { target: inPlace },
      403,
      'a restore over an existing volume needs the role admin',
    ],
    [
      'operator',
      { target: { kind: 'directory', path: '/tmp/x' } },
      403,
      'a restore to a directory needs the role admin',
    ],
    [
      'operator',
      { target: newVolume('x'), host: 'db-1', sealedPassword: 'AAAA' },
      403,
      'a restore to another host needs the role admin',
    ],
    [
      'admin',
      { target: newVolume('data') },
      422,
      'target.name: volume "data" exists on host "web-1"; a restore makes a new volume',
    ],
    [
      'admin',
      { target: { ...inPlace, name: 'nothing' } },
      422,
      'target.name: host "web-1" has no volume "nothing"',
    ],
    [
      'admin',
      { target: newVolume('x'), host: 'db-1' },
      422,
      'sealedPassword: the snapshot is of host "web-1": its recovery password, sealed to the recipient of "db-1", is needed',
    ],
    [
      'admin',
      { target: newVolume('x'), sealedPassword: 'AAAA' },
      422,
      'sealedPassword: the host opens its own repository; leave it out',
    ],
    [
      'admin',
      { target: { kind: 'directory', path: '/srv/../etc' } },
      422,
      'target.path: must be an absolute path without empty, "." or ".." parts',
    ],
    ['admin', { target: newVolume('x'), host: 'nowhere' }, 404, 'there is no host "nowhere"'],
    [
      'admin',
      { target: newVolume('x'), snapshot: 'f'.repeat(64) },
      404,
      `there is no snapshot "${'f'.repeat(64)}"`,
    ],
    [
      'admin',
      { target: newVolume('x'), snapshot: 'zzz' },
      422,
      'snapshot: must be a snapshot id, or at least its first 8 digits',
    ],
  ] as const)('by %s refuses %j', async (who, body, status, detail) => {
    const answer = await restore(body, who === 'admin' ? admin : operator)
    expect([answer.status, answer.body.detail]).toEqual([status, detail])
  })

  it('leaves counts and places in the log, never a path inside the snapshot', async () => {
    const path = Buffer.from('patients/jane-doe.pdf').toString('base64')
    const { body } = await restore({ target: newVolume('data-3'), paths: [path] })
    const log = await rig.call('GET', `/api/v1/audit?job=${body.id}`, { token: admin })
    expect(log.body.items[0].event.details).toMatchObject({
      kind: 'restore',
      target: 'new-volume',
      to: 'data-3',
      paths: 1,
    })
    expect(log.text).not.toContain(path)
    expect(log.text).not.toContain('jane')
  })
})

describe('browse and verify', () => {
  it('browse on the host that made the snapshot, sealed to whoever asks', async () => {
    const { status, body } = await post(
      'browse',
      { snapshot: snapshot.slice(0, 10), what: 'list', recipient: RECIPIENT },
      operator,
    )
    expect([status, body.kind, body.hostName]).toEqual([202, 'browse', 'web-1'])
    const log = await rig.call('GET', `/api/v1/audit?job=${body.id}`, { token: admin })
    expect(log.body.items[0].event.details).toMatchObject({ what: 'list', recipient: RECIPIENT })
  })

  it('gives the content of a file to an admin alone: it leaves the host like a restore to elsewhere', async () => {
    const wanted = { snapshot, path: 'YQ==', what: 'file', recipient: RECIPIENT }
    const refused = await post('browse', wanted, operator)
    expect([refused.status, refused.body.detail]).toEqual([
      403,
      'reading the content of a file needs the role admin',
    ])
    expect((await post('browse', { ...wanted, what: 'tree' }, operator)).status).toBe(202)
    expect((await post('browse', wanted, admin)).status).toBe(202)
  })

  it('page by page, waiting for what is not there yet', async () => {
    const { body: job } = await post('browse', { snapshot, what: 'list', recipient: RECIPIENT })
    const page = (n: number, wait: number) =>
      rig.call('GET', `/api/v1/jobs/${job.id}/pages/${n}?wait=${wait}`, { token: operator })
    const missing = await page(0, 2)
    expect([missing.status, missing.body.detail]).toEqual([
      404,
      `page 0 of job "${job.id}" is not here yet`,
    ])
    await rig.database.write([
      {
        sql: 'INSERT INTO pages (job, page, last, bytes, at) VALUES (?, 0, 1, ?, ?)',
        args: [job.id, 'c2VhbGVk', rig.clock.now()],
      },
      {
        sql: `UPDATE jobs SET state = 'finished', outcome = 'succeeded' WHERE id = ?`,
        args: [job.id],
      },
    ])
    expect((await page(0, 0)).body).toEqual({ page: 0, last: true, sealed: 'c2VhbGVk' })
    expect((await page(1, 25)).body.detail).toBe(`job "${job.id}" ended without a page 1`)
    await rig.jobListing.forgetPages(rig.clock.now() + 1)
    expect((await page(0, 0)).status).toBe(404)
  })

  it('verify takes a part of the data, or what one snapshot of the host needs', async () => {
    const asked = async (readData: unknown) => {
      const { status, body } = await post('verify', { host: 'web-1', readData }, operator)
      return status === 202 ? (await rig.stores.jobRequests.get(body.id))?.parameters : status
    }
    const verify = { kind: 'verify' }
    expect(await asked({ part: 2, of: 5 })).toEqual({ ...verify, readData: { part: 2, of: 5 } })
    expect(await asked({ percent: 2.5 })).toEqual({ ...verify, readData: { percent: 2.5 } })
    expect(await asked({ bytes: 500 })).toEqual({ ...verify, readData: { bytes: 500 } })
    const random = { snapshot: 'random' }
    expect(await asked(random)).toEqual({ ...verify, readData: random })
    const whole = { snapshot: snapshot }
    expect(await asked({ snapshot: snapshot.slice(0, 8) })).toEqual({ ...verify, readData: whole })
    for (const wrong of [
      { part: 6, of: 5 },
      { percent: 0 },
      { bytes: 0 },
      { snapshot: 'x' },
      'all',
    ]) {
      expect(await asked(wrong), JSON.stringify(wrong)).toBe(422)
    }
    const foreign = await post('verify', { host: 'db-1', readData: whole }, operator)
    expect(foreign.status).toBe(404)
  })

  it('verify asks for a repository that is there', async () => {
    expect((await post('verify', { host: 'web-1' }, operator)).status).toBe(202)
    await rig.database.write([
      `UPDATE repositories SET state = 'absent' WHERE id = '${db.repository}'`,
    ])
    const absent = await post('verify', { host: 'db-1', readData: true })
    expect([absent.status, absent.body.code]).toEqual([409, 'repository-absent'])
    await rig.database.write([
      `UPDATE repositories SET state = 'ready' WHERE id = '${db.repository}'`,
    ])
  })
})

describe('watching', () => {
  it('gives a version, and waits until something about the job changes', async () => {
    const { body } = await post('verify', { host: 'web-1' })
    const seen = await rig.call('GET', `/api/v1/jobs/${body.id}`, { token: operator })
    const path = `/api/v1/jobs/${body.id}?version=${seen.body.version}&wait=20`
    const before = rig.clock.monotonic()
    expect((await rig.call('GET', path, { token: operator })).body.version).toBe(seen.body.version)
    expect(rig.clock.monotonic() - before).toBe(20_000)
    await rig.database.write([
      {
        sql: `UPDATE jobs SET state = 'running', attempt = 1, progress_json = ? WHERE id = ?`,
        args: ['{"phase":"verifying","files":1,"bytes":2}', body.id],
      },
    ])
    const changed = await rig.call('GET', path, { token: operator })
    expect(changed.body).toMatchObject({
      state: 'running',
      progress: { phase: 'verifying', files: 1 },
    })
    expect(changed.body.version).not.toBe(seen.body.version)
  })

  it('has no report until the job leaves one', async () => {
    const { body } = await post('verify', { host: 'web-1' })
    const none = await rig.call('GET', `/api/v1/jobs/${body.id}/report`, { token: operator })
    expect([none.status, none.body.detail]).toEqual([404, `job "${body.id}" has no report`])
    await rig.database.write([
      { sql: 'UPDATE jobs SET report = ? WHERE id = ?', args: ['c2VhbGVk', body.id] },
    ])
    const there = await rig.call('GET', `/api/v1/jobs/${body.id}/report`, { token: operator })
    expect(there.body).toEqual({ sealed: 'c2VhbGVk' })
  })
})

describe('cancel', () => {
  it('ends a waiting job at once and is the same asked twice', async () => {
    const { body } = await post('verify', { host: 'web-1' })
    const path = `/api/v1/jobs/${body.id}/cancel`
    const done = await rig.call('POST', path, { token: operator })
    expect(done.body).toMatchObject({
      state: 'finished',
      outcome: 'cancelled',
      reason: 'cancelled-by-person',
    })
    expect((await rig.call('POST', path, { token: operator })).body.outcome).toBe('cancelled')
  })

  it('marks a running job once and tells its host', async () => {
    const { body } = await post('verify', { host: 'web-1' })
    await rig.database.write([
      {
        sql: `UPDATE jobs SET state = 'running', attempt = 1, batch = ? WHERE id = ?`,
        args: [body.id, body.id],
      },
    ])
    const path = `/api/v1/jobs/${body.id}/cancel`
    const told = await rig.call('POST', path, { token: operator })
    expect(told.body).toMatchObject({ state: 'running', cancelRequested: true })
    expect(rig.cancelled).toContain(body.id)
    await rig.call('POST', path, { token: operator })
    const log = await rig.call('GET', `/api/v1/audit?job=${body.id}&action=job.cancelled`, {
      token: admin,
    })
    expect(log.body.items).toHaveLength(1)
    await rig.database.write([
      {
        sql: `UPDATE jobs SET state = 'finished', outcome = 'succeeded' WHERE id = ?`,
        args: [body.id],
      },
    ])
    const over = await rig.call('POST', path, { token: operator })
    expect([over.status, over.body.detail]).toEqual([409, 'the job is over: succeeded'])
  })
})
