import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nextSlot } from '../../control-plane/core/prunes.ts'
import { DAY, HOUR, MINUTE } from '../../shared/clock.ts'
import { openRig, type Rig } from './rig.ts'

const START = Date.UTC(2026, 5, 15, 12)

let rig: Rig
let admin: string
let operator: string
beforeAll(async () => {
  rig = await openRig({ start: START })
  admin = await rig.token('admin')
  operator = await rig.token('operator')
})
afterAll(() => rig.close())

async function pruneable(name: string) {
  const host = await rig.host(name, ['data'])
  await rig.database.write([
    { sql: 'UPDATE hosts SET protocol = 2 WHERE id = ?', args: [host.id] },
    {
      sql: `INSERT INTO objects (repository, id, what, bytes, job, stored_at) VALUES (?, ?, 'pack', 1000000, 'j', 0)`,
      args: [host.repository, name.padEnd(64, '0')],
    },
  ])
  return host
}
const ask = (host: string, more = {}) =>
  rig.call('POST', '/api/v1/jobs/prune', { token: operator, body: { host, ...more } })
const jobOf = async (id: string) =>
  (await rig.database.read('SELECT * FROM jobs WHERE id = ?', [id])).rows[0]!
const end = (id: string, outcome = 'succeeded', reason = 'completed') =>
  rig.database.write([
    {
      sql: `UPDATE jobs SET state = 'finished', outcome = ?, reason = ?, started_at = ?, finished_at = ? WHERE id = ?`,
      args: [outcome, reason, rig.clock.now(), rig.clock.now(), id],
    },
  ])

describe('a prune that is asked for', () => {
  it('waits once per repository, with limits of its own size', async () => {
    const host = await pruneable('db-1')
    const first = await ask('db-1')
    expect(first.status, first.text).toBe(202)
    const job = await jobOf(first.body.job)
    expect(JSON.parse(String(job.parameters_json))).toMatchObject({
      kind: 'prune',
      maxRepackBytes: 50_000,
      maxUnusedPercent: 5,
    })
    expect(rig.woken).toContain(host.id)
    expect((await ask('db-1')).body.code).toBe('already-exists')
    await end(first.body.job)
    const second = await ask('db-1', { maxRepackBytes: 0, maxSeconds: 60, maxUnusedPercent: 20 })
    expect(JSON.parse(String((await jobOf(second.body.job)).parameters_json))).toEqual({
      kind: 'prune',
      maxRepackBytes: 0,
      maxSeconds: 60,
      maxUnusedPercent: 20,
    })
  })

  it('is refused where the agent is older than prunes, or there is no such host', async () => {
    await rig.host('db-2', ['data'])
    expect((await ask('db-2')).body.code).toBe('version-unsupported')
    expect((await ask('nobody')).status).toBe(404)
  })
})

describe('an approval', () => {
  it('is an admin’s, of a job that waits for one, and makes a new job', async () => {
    await pruneable('db-3')
    const { job } = (await ask('db-3')).body
    const path = `/api/v1/jobs/${job}/approve`
    expect((await rig.call('POST', path, { token: admin })).body.code).toBe('invalid')
    await rig.database.write([
      {
        sql: `INSERT INTO proposals (job, attempt, unreferenced_bytes, repack_bytes, packs, own_bytes, decision, at)
              VALUES (?, 1, 300000, 20000, 4, 1000000, 'wait', 0)`,
        args: [job],
      },
    ])
    expect((await rig.call('POST', path, { token: admin })).body.code).toBe('conflict')
    await end(job, 'warning', 'needs-approval')
    expect((await rig.call('POST', path, { token: operator })).status).toBe(403)
    const approved = await rig.call('POST', path, { token: admin })
    expect(approved.status, approved.text).toBe(202)
    const next = await jobOf(approved.body.job)
    expect(JSON.parse(String(next.parameters_json))).toMatchObject({ approvedBytes: 320_000 })
    const audit = await rig.call('GET', '/api/v1/audit?action=prune.approved', { token: admin })
    expect(audit.body.items[0].event.details).toMatchObject({
      approvedBytes: 320_000,
      proposal: job,
    })
  })
})

describe('nightly prunes', () => {
  it('come where there is something to do, in a minute of the repository’s own', async () => {
    const idle = await pruneable('night-1')
    const busy = await pruneable('night-2')
    await rig.database.write(['UPDATE repositories SET ready_at = created_at'])
    await rig.prunes.tick()
    const gone = await rig.snapshot(busy, 'volume:data', START - 20 * DAY)
    await rig.database.write([
      {
        sql: `UPDATE snapshots SET state = 'forgotten', state_at = ? WHERE id = ?`,
        args: [rig.clock.now(), gone],
      },
    ])
    const slot = nextSlot(busy.repository, rig.clock.now())
    expect(new Date(slot).getUTCHours()).toBeGreaterThanOrEqual(2)
    expect(new Date(slot).getUTCHours()).toBeLessThan(5)
    rig.clock.advance(slot - rig.clock.now() - MINUTE)
    expect(await rig.prunes.tick()).not.toContain(busy.id)
    rig.clock.advance(3 * HOUR + MINUTE)
    const queued = await rig.prunes.tick()
    expect(queued).toContain(busy.id)
    expect(queued).not.toContain(idle.id)
    expect(await rig.prunes.tick()).toEqual([])
    const { rows } = await rig.database.read(
      `SELECT id FROM jobs WHERE kind = 'prune' AND host = ?`,
      [busy.id],
    )
    expect(rows).toHaveLength(1)
    await end(String(rows[0]!.id))
    rig.clock.advance(DAY)
    expect(await rig.prunes.tick()).not.toContain(busy.id)
  })

  it('ask nobody again for a week who was asked for an approval', async () => {
    const host = await pruneable('night-3')
    const gone = await rig.snapshot(host, 'volume:data', START - 20 * DAY)
    await rig.prunes.tick()
    const forgetAgain = () =>
      rig.database.write([
        {
          sql: `UPDATE snapshots SET state = 'forgotten', state_at = ? WHERE id = ?`,
          args: [rig.clock.now(), gone],
        },
      ])
    await forgetAgain()
    rig.clock.advance(DAY)
    expect(await rig.prunes.tick()).toContain(host.id)
    const { rows } = await rig.database.read(
      `SELECT id FROM jobs WHERE kind = 'prune' AND host = ?`,
      [host.id],
    )
    await end(String(rows[0]!.id), 'warning', 'needs-approval')
    for (let day = 1; day < 7; day++) {
      rig.clock.advance(DAY)
      expect(await rig.prunes.tick()).not.toContain(host.id)
    }
    rig.clock.advance(DAY)
    expect(await rig.prunes.tick()).toContain(host.id)
  })
})
