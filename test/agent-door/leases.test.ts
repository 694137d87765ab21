import { describe, expect, it } from 'vitest'
import { createRunningJobsStore } from '../../control-plane/adapters/libsql/store/running-jobs.ts'
import { newEvent } from '../../control-plane/core/event.ts'
import { MINUTE } from '../../shared/clock.ts'
import { systemRandom } from '../support/system-clock.ts'
import { type Agent, queueJob, thingsOf, wantedOf } from './agent.ts'
import { type StartedJob, useRig } from './rig.ts'

const rig = useRig()
const expire = () => rig.door.agents.leases.expire()
const jobRow = async (id: string) =>
  (await rig.row(
    'SELECT state, outcome, reason, attempt, not_before, snapshot FROM jobs WHERE id = ?',
    [id],
  ))!
const upload = (agent: Agent, { run, job }: StartedJob) =>
  agent.backup(run, job, (grant, bytes) => {
    rig.objects.upload(grant.url, bytes)
  })

describe('a lease', () => {
  it('is renewed with progress, and says which jobs are gone', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const progress = { phase: 'reading', files: 3, bytes: 70 }
    const { id, attempt, fence } = job
    const jobs = [
      { job: id, attempt, fence, progress },
      { job: id, attempt: 2, fence },
    ]
    const { body } = await agent.call(`batches/${run.batch}/lease`, { jobs })
    expect(body).toEqual({ leaseSeconds: 600, cancel: [], gone: [] })
    const stale = await agent.call(`batches/${run.batch}/lease`, { jobs: [jobs[1]] })
    expect(stale.body.gone).toEqual([id])
    const row = await rig.row('SELECT progress_json FROM jobs WHERE id = ?', [id])
    expect(JSON.parse(String(row?.progress_json))).toEqual(progress)
  })

  it('stops grants once it has lapsed, and is given again while no newer attempt was started', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const wanted = wantedOf(thingsOf(started.job))
    rig.clock.skip(11 * MINUTE)
    const refused = await agent.ask(started.run, 'grants', { wanted, stored: [] })
    expect(refused).toMatchObject({ status: 409, body: { code: 'lease-lapsed' } })
    expect((await agent.lease(started.run)).body.gone).toEqual([])
    expect((await upload(agent, started)).answer.body.state).toBe('accepted')
  })

  it('lapses only ten minutes after the start of the control plane', async () => {
    const agent = await rig.readyAgent()
    const { job } = await rig.started(agent)
    await rig.restart()
    rig.clock.skip(9 * MINUTE)
    await rig.restart()
    rig.clock.skip(9 * MINUTE) // 18 minutes without a word, but the process is 9 minutes old
    expect(await expire()).toBe(0)
    expect(await jobRow(job.id)).toMatchObject({ state: 'running' })
    rig.clock.skip(2 * MINUTE)
    expect(await expire()).toBe(1)
    expect(await jobRow(job.id)).toMatchObject({ state: 'queued' })
  })

  it('is not over while an upload URL of its attempt lives', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    rig.clock.skip(9 * MINUTE)
    const wanted = wantedOf(thingsOf(job))
    const granted = await agent.ask(run, 'grants', { wanted, stored: [] })
    expect(granted.status).toBe(200)
    rig.clock.skip(14 * MINUTE) // the lease is over for long, the URLs are not
    expect(await expire()).toBe(0)
    rig.clock.skip(3 * MINUTE)
    expect(await expire()).toBe(1)
    for (const [at, bytes] of thingsOf(job).packs.entries()) {
      expect(rig.objects.upload(granted.body.grants[at].url, bytes)).toBe(403)
    }
  })

  it('leads to another attempt after a pause, three in all, then to an alert', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { id } = started.job
    let { run } = started
    for (const attempt of [1, 2]) {
      rig.clock.skip(12 * MINUTE)
      await agent.renew()
      await expire()
      const row = await jobRow(id)
      expect(row).toMatchObject({ state: 'queued', attempt })
      expect(Number(row.not_before) - rig.clock.now()).toBeGreaterThan(50_000 * attempt)
      expect((await agent.lease(run)).body.gone).toEqual([id])
      await rig.door.agents.dispatch.host(agent.host)
      expect((await jobRow(id)).state).toBe('queued')
      rig.clock.skip(attempt * MINUTE)
      await rig.door.agents.dispatch.host(agent.host)
      const old = run
      run = await agent.frame('run')
      expect(run.jobs[0]).toMatchObject({ id, attempt: attempt + 1 })
      const late = await agent.finish(old, old.jobs[0]!)
      expect(late.body.code).toBe('fence-stale')
    }
    rig.clock.skip(12 * MINUTE)
    await expire()
    expect(await jobRow(id)).toMatchObject({ state: 'finished', outcome: 'lost', attempt: 3 })
    expect(await rig.alerts()).toMatchObject([
      {
        alert_type: 'job-lost',
        job: id,
        message:
          'Backup of volume:data on host web-1 was lost in 3 attempts: the host fell silent during the job.',
      },
    ])
    const batch = await rig.row('SELECT COUNT(*) AS n FROM batches WHERE ended_at IS NULL')
    expect(batch).toMatchObject({ n: 0 })
  })

  it('ends as the snapshot says when the agent falls silent after its commit', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    await upload(agent, started)
    rig.clock.skip(30 * MINUTE)
    await expire()
    expect(await jobRow(started.job.id)).toMatchObject({
      state: 'finished',
      outcome: 'succeeded',
      attempt: 1,
    })
  })

  it('ends a cancelled job of a silent host, and gives up a run that a newer one replaces', async () => {
    const agent = await rig.readyAgent()
    await rig.door.database.write([
      `INSERT INTO policies (id, name, document_json, version, created_at, updated_at) VALUES ('p', 'p', '{}', 1, 0, 0)`,
    ])
    const { job } = await rig.started(agent, { policy: 'p' })
    await queueJob(rig.door, { ...agent, policy: 'p' })
    rig.clock.skip(12 * MINUTE)
    await expire()
    expect(await jobRow(job.id)).toMatchObject({ state: 'finished', outcome: 'lost', attempt: 1 })
    await rig.door.agents.dispatch.host(agent.host)
    const run = await agent.frame('run')
    await rig.door.database.write([`UPDATE jobs SET cancel_at = 1 WHERE id = '${run.jobs[0]!.id}'`])
    rig.clock.skip(12 * MINUTE)
    await expire()
    expect(await jobRow(run.jobs[0]!.id)).toMatchObject({ state: 'finished', outcome: 'cancelled' })
  })
})

describe('an attempt that is about to be given up', () => {
  it('goes on when its lease is renewed or a URL is signed at that very moment', async () => {
    const agent = await rig.readyAgent()
    const { job } = await rig.started(agent)
    const store = createRunningJobsStore(rig.door.database)
    const attempt = { job: job.id, attempt: job.attempt, fence: job.fence }
    const event = (n: number) =>
      newEvent(
        { clock: rig.clock, random: systemRandom },
        {
          actor: 'system',
          action: 'job.requeued',
          target: `job:${n}`,
          outcome: 'ok',
          details: {},
        },
      )
    const requeue = (now: number, n: number) =>
      store.requeue(attempt, { at: now, notBefore: now }, { events: [event(n)] }, now)
    const now = rig.clock.now()
    const later = now + 11 * MINUTE
    expect(await requeue(now, 1)).toBe(false) // the lease lives
    await rig.door.database.write([`UPDATE batches SET urls_until = ${later + 1}`])
    expect(await requeue(later, 2)).toBe(false) // a URL lives
    await rig.door.database.write([`UPDATE batches SET urls_until = ${later}`])
    expect(await requeue(later, 3)).toBe(true)
    expect((await rig.actions()).filter((action) => action === 'job.requeued ok')).toHaveLength(1)
  })
})

describe('the end of a job', () => {
  it('that the agent calls lost starts the next attempt at once, three in all', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    let { run } = started
    for (const attempt of [1, 2]) {
      await agent.finish(run, run.jobs[0]!, 'lost', 'mover-died')
      const before = run
      run = await agent.frame('run')
      expect(run.jobs[0]?.attempt).toBe(attempt + 1)
      // Said twice because an answer got lost: refused, because a newer attempt runs.
      const again = await agent.finish(before, before.jobs[0]!, 'lost', 'mover-died')
      expect(again.body.code).toBe('fence-stale')
    }
    await agent.finish(run, run.jobs[0]!, 'lost', 'mover-died')
    expect(await jobRow(started.job.id)).toMatchObject({ outcome: 'lost', reason: 'mover-died' })
    expect((await rig.alerts()).map(({ alert_type }) => alert_type)).toEqual(['job-lost'])
  })

  it('is taken once: said again it changes nothing', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    await agent.finish(run, job, 'failed', 'source-missing')
    expect((await agent.finish(run, job)).status).toBe(200)
    expect(await jobRow(job.id)).toMatchObject({ outcome: 'failed', reason: 'source-missing' })
    expect(await rig.alerts()).toHaveLength(1)
  })

  it('is no success without an accepted commit', async () => {
    const agent = await rig.readyAgent()
    for (const outcome of ['succeeded', 'warning']) {
      const { run, job } = await rig.started(agent)
      await agent.finish(run, job, outcome, 'completed')
      const row = await rig.row('SELECT outcome, reason, message FROM jobs WHERE id = ?', [job.id])
      expect(row).toMatchObject({
        outcome: 'failed',
        reason: 'commit-refused',
        message: 'The agent sent no commit.',
      })
    }
  })

  it('is a warning when the signed receipt counts what was left out, whatever was said', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const { packs, indexes, snapshot } = thingsOf(job)
    const stored = { packs, indexes, snapshot }
    const granted = await agent.ask(run, 'grants', { wanted: wantedOf(stored), stored: [] }, job)
    for (const [at, grant] of granted.body.grants.entries()) {
      rig.objects.upload(grant.url, [...packs, ...indexes][at]!)
    }
    const counts = { files: 9, bytes: 100, unreadable: 1, milliseconds: 5 }
    const receipt = agent.receipt(run, job, stored, { counts })
    expect((await agent.commitThrough(run, receipt, snapshot)).body.state).toBe('accepted')
    await agent.finish(run, job)
    expect(await rig.row('SELECT outcome, reason FROM jobs WHERE id = ?', [job.id])).toMatchObject({
      outcome: 'warning',
      reason: 'files-unreadable',
    })
  })

  it('with warnings keeps the snapshot, alerts, and stores counts and the sealed report', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    await upload(agent, started)
    const counts = { files: 9, bytes: 90, unreadable: 2, milliseconds: 5 }
    const body = {
      outcome: 'warning',
      reason: 'files-unreadable',
      message: '2 files could not be read.',
      counts,
      report: 'YWdl',
    }
    expect((await agent.ask(started.run, 'finish', body, started.job)).status).toBe(200)
    expect(
      await rig.row(
        'SELECT j.outcome, j.report, j.counts_json, s.outcome AS kept FROM jobs j JOIN snapshots s ON s.job = j.id',
      ),
    ).toMatchObject({
      outcome: 'warning',
      report: 'YWdl',
      counts_json: JSON.stringify(counts),
      kept: 'warning',
    })
    expect((await rig.alerts())[0]).toMatchObject({
      alert_type: 'job-warning',
      message: expect.stringContaining('completed with warnings: some files could not be read'),
    })
  })

  it('of an init is no success while the repository is not ready', async () => {
    const agent = await rig.readyAgent('web-1')
    await rig.door.database.write([
      `UPDATE repositories SET state = 'absent' WHERE id = '${agent.repository}'`,
    ])
    await queueJob(rig.door, agent)
    await rig.door.agents.dispatch.host(agent.host)
    const run = await agent.frame('run')
    await agent.lease(run)
    await agent.finish(run, run.jobs[0]!)
    const row = await rig.row(
      "SELECT outcome FROM jobs WHERE kind = 'init' ORDER BY created_at DESC",
    )
    expect(row).toMatchObject({ outcome: 'failed' })
  })
})
