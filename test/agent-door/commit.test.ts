import { describe, expect, it } from 'vitest'
import type { Receipt } from '../../shared/backup/receipt.ts'
import { MINUTE } from '../../shared/clock.ts'
import { indexKey, packKey, receiptKey, smallKey } from '../../shared/vault/layout.ts'
import { type Agent, makeKey, sha256, thingsOf, wantedOf } from './agent.ts'
import { type StartedJob, useRig } from './rig.ts'

const rig = useRig()

/** Uploads what the job made; resolves with the receipt and the snapshot, not committed yet. */
async function uploaded(agent: Agent, { run, job }: StartedJob, packs = 2) {
  const stored = thingsOf(job, packs)
  const bytes = [...stored.packs, ...stored.indexes]
  const granted = await agent.ask(run, 'grants', { wanted: wantedOf(stored), stored: [] }, job)
  for (const [at, grant] of granted.body.grants.entries()) {
    expect(rig.objects.upload(grant.url, bytes[at]!)).toBe(200)
  }
  return { stored, receipt: agent.receipt(run, job, stored), snapshot: stored.snapshot }
}

const snapshotObjects = () =>
  [...rig.objects.contents.keys()].filter((key) => key.includes('/snapshots/'))
const commitRow = () => rig.row('SELECT state, code, message, bytes, receipt_json FROM commits')

describe('a commit', () => {
  it('is the same answer for the same claim, and refused for another of the same attempt', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { receipt, snapshot, stored } = await uploaded(agent, started)
    const { run, job } = started
    expect((await agent.commitThrough(run, receipt, snapshot)).body).toEqual({ state: 'accepted' })
    expect((await agent.commit(run, receipt, snapshot)).body).toEqual({ state: 'accepted' })
    const path = `${rig.door.url}/agent/v1/batches/${run.batch}/commits/${job.id}?attempt=1`
    const headers = { authorization: `Bearer ${agent.session}` }
    expect(await (await fetch(path, { headers })).json()).toEqual({ state: 'accepted' })
    const other = { ...stored, snapshot: Buffer.from('other'.repeat(20)) }
    const second = await agent.commit(run, agent.receipt(run, job, other), other.snapshot)
    expect(second).toMatchObject({
      status: 409,
      body: {
        code: 'already-exists',
        detail: 'attempt 1 of this job has claimed another snapshot',
      },
    })
    expect(await commitRow()).toMatchObject({ state: 'accepted', bytes: null, receipt_json: null })
    const written = rig.objects.contents.get(receiptKey(agent.repository, 1))
    expect(JSON.parse(String(Buffer.from(written!))).receipt).toEqual(receipt)
    expect(await rig.row('SELECT checked_at IS NOT NULL AS seen, type FROM objects')).toMatchObject(
      {
        seen: 1,
        type: 'data',
      },
    )
    expect((await rig.actions()).slice(-3)).toEqual([
      'snapshot.claimed ok',
      'snapshot.checked ok',
      'snapshot.accepted ok',
    ])
  })

  it('names what is not in the store, three at most, and writes no snapshot', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const stored = thingsOf(job, 5)
    const receipt = agent.receipt(run, job, stored)
    const { body } = await agent.commitThrough(run, receipt, stored.snapshot)
    expect(body).toMatchObject({ state: 'refused', code: 'claims-missing' })
    const names = receipt.packs.slice(0, 3).map(({ id }) => `pack ${id}`)
    expect(body.message).toBe(`not in the store: ${names.join(', ')} and 3 more`)
    expect(snapshotObjects()).toEqual([])
    await agent.finish(run, job)
    const row = await rig.row("SELECT outcome, reason, message FROM jobs WHERE kind = 'backup'")
    expect(row).toMatchObject({
      outcome: 'failed',
      reason: 'commit-refused',
      message: body.message,
    })
    expect((await rig.actions()).filter((action) => action.startsWith('snapshot.'))).toEqual([
      'snapshot.claimed ok',
      'snapshot.refused refused',
    ])
  })

  it('is refused with an alarm when an object has another size', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, started)
    const key = packKey(agent.repository, receipt.packs[1]!.id)
    rig.objects.contents.set(key, Buffer.alloc(7))
    const { body } = await agent.commitThrough(started.run, receipt, snapshot)
    expect(body).toMatchObject({
      state: 'refused',
      code: 'exists',
      message: expect.stringMatching(/has 7 bytes in the store, not 2\d\d$/),
    })
    expect((await rig.alerts())[0]?.alert_type).toBe('object-conflict')
    expect(snapshotObjects()).toEqual([])
  })

  it('must carry the host’s signature and the job’s own facts', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { run } = started
    const { receipt, snapshot } = await uploaded(agent, started)
    const said = async (change: Partial<Receipt>, bytes: Uint8Array = snapshot) =>
      (await agent.commit(run, { ...receipt, ...change }, bytes)).body.detail
    const body = agent.commitBody(receipt, snapshot)
    const forged = await agent.call(`batches/${run.batch}/commit`, {
      ...body,
      receipt: { ...receipt, tree: sha256('other') },
    })
    expect(forged.body.detail).toBe('signature: does not fit receipt and host')
    const { publicKey } = makeKey()
    await rig.door.database.write([`UPDATE hosts SET public_key = '${publicKey}'`])
    expect(await said({})).toBe('signature: does not fit receipt and host')
    await rig.door.database.write([`UPDATE hosts SET public_key = '${agent.key.publicKey}'`])
    const wrong = (field: string) => `receipt.${field}: is not that of job ${receipt.job}`
    expect(await said({ host: receipt.job })).toBe(wrong('host'))
    expect(await said({ repository: receipt.job })).toBe(wrong('repository'))
    expect(await said({ source: { kind: 'volume', name: 'other' } })).toBe(wrong('source'))
    expect(await said({ time: '2020-01-01T00:00:00.000Z' })).toBe(wrong('time'))
    expect(await said({ snapshotBytes: 99 })).toBe('bytes: are not those the receipt names')
    expect(await said({}, Buffer.from('x'.repeat(snapshot.length)))).toBe(
      'bytes: are not those the receipt names',
    )
    expect(await rig.row('SELECT COUNT(*) AS n FROM commits')).toMatchObject({ n: 0 })
    expect((await agent.commitThrough(run, receipt, snapshot)).body.state).toBe('accepted')
  })

  it('is refused after a prune, before it is checked and after', async () => {
    const agent = await rig.readyAgent()
    for (const when of ['before', 'during'] as const) {
      const started = await rig.started(agent)
      const { receipt, snapshot } = await uploaded(agent, started)
      const raise = () => rig.door.database.write(['UPDATE repositories SET epoch = epoch + 1'])
      const { head } = rig.objects
      if (when === 'before') await raise()
      else {
        rig.objects.head = async (key) => {
          rig.objects.head = head
          await raise()
          return head(key)
        }
      }
      const { body } = await agent.commitThrough(started.run, receipt, snapshot)
      expect(body).toMatchObject({ state: 'refused', code: 'epoch-stale' })
      expect(body.message).toMatch(
        /^the index was listed in epoch \d, the repository is in epoch \d$/,
      )
      await agent.finish(started.run, started.job, 'failed', 'commit-refused')
    }
    expect(snapshotObjects()).toEqual([])
  })

  it('of an attempt that was given up is refused, whether the next one runs or still waits', async () => {
    const agent = await rig.readyAgent()
    const first = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, first)
    rig.clock.skip(27 * MINUTE)
    await agent.connect()
    await rig.door.agents.leases.expire()
    const waits = await agent.commitThrough(first.run, receipt, snapshot)
    expect(waits.body).toMatchObject({ state: 'refused', code: 'lease-lapsed' })
    rig.clock.skip(2 * MINUTE)
    await rig.door.agents.dispatch.host(agent.host)
    const run = await agent.frame('run')
    expect(run.jobs[0]?.attempt).toBe(2)
    // The old mover woke up and claims something else under its old fence.
    const late = { ...thingsOf({ id: 'late', attempt: 1 }) }
    const stale = agent.receipt(first.run, { ...first.job, attempt: 1 }, late)
    const answer = await agent.commit(
      first.run,
      { ...stale, fence: first.job.fence },
      late.snapshot,
    )
    expect(answer.body.code).toBe('already-exists')
    await agent.lease(run)
    const second = await agent.backup(run, run.jobs[0]!, (grant, bytes) => {
      rig.objects.upload(grant.url, bytes)
    })
    expect(second.answer.body.state).toBe('accepted')
    expect(snapshotObjects()).toEqual([
      smallKey(agent.repository, 'snapshot', second.receipt.snapshot),
    ])
  })

  it('with the fence of an older attempt is refused though its lease looks alive', async () => {
    const agent = await rig.readyAgent()
    const first = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, first)
    await agent.finish(first.run, first.job, 'lost', 'mover-died')
    const run = await agent.frame('run')
    await agent.lease(run)
    const answer = await agent.commitThrough(first.run, receipt, snapshot)
    expect(answer.body).toEqual({
      state: 'refused',
      code: 'fence-stale',
      message: 'attempt 1 was given up and attempt 2 started',
    })
    expect(snapshotObjects()).toEqual([])
  })

  it('is refused when its attempt is given up while its claims are being checked', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, started)
    const { head } = rig.objects
    rig.objects.head = async (key) => {
      rig.objects.head = head
      await agent.finish(started.run, started.job, 'lost', 'mover-died')
      return head(key)
    }
    const answer = await agent.commitThrough(started.run, receipt, snapshot)
    expect(answer.body.state).toBe('refused')
    expect(answer.body.code).toMatch(/^(fence-stale|lease-lapsed)$/)
    expect(snapshotObjects()).toEqual([])
    expect((await agent.frame('run')).jobs[0]?.attempt).toBe(2)
  })

  it('cannot take the snapshot of another job', async () => {
    const agent = await rig.readyAgent()
    const first = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, first)
    await agent.commitThrough(first.run, receipt, snapshot)
    await agent.finish(first.run, first.job)
    const second = await rig.started(agent)
    const copied = agent.receipt(second.run, second.job, { ...thingsOf(first.job), snapshot })
    const answer = await agent.commit(second.run, copied, snapshot)
    expect(answer.body.detail).toBe('receipt.snapshot: belongs to another job')
  })

  it('waits while the vault is away, and holds the job until it is through', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { run, job } = started
    const { receipt, snapshot } = await uploaded(agent, started)
    const { put } = rig.objects
    rig.objects.put = async () => {
      throw new Error('the vault is away')
    }
    rig.expectedLogs.push(/the vault is away/)
    expect((await agent.commit(run, receipt, snapshot)).body).toEqual({ state: 'checking' })
    await rig.door.settled()
    expect(await commitRow()).toMatchObject({ state: 'writing' })
    expect((await agent.finish(run, job)).body).toMatchObject({
      code: 'conflict',
      detail: 'the commit of this attempt is still being checked',
    })
    expect((await agent.finish(run, job, 'lost', 'mover-died')).body.code).toBe('conflict')
    rig.clock.skip(40 * MINUTE)
    await rig.door.agents.leases.expire()
    expect(await rig.row("SELECT state FROM jobs WHERE kind = 'backup'")).toMatchObject({
      state: 'running',
    })
    await rig.restart({ upFor: 20 * MINUTE })
    rig.objects.put = put
    expect(await rig.door.agents.commits.sweep()).toBe(1)
    expect(snapshotObjects()).toHaveLength(1)
    await rig.door.agents.leases.expire()
    expect(await rig.row("SELECT outcome, attempt FROM jobs WHERE kind = 'backup'")).toMatchObject({
      outcome: 'succeeded',
      attempt: 1,
    })
  })

  it('gives its receipt the next number when another lies under its own', async () => {
    const agent = await rig.readyAgent()
    rig.objects.contents.set(receiptKey(agent.repository, 1), Buffer.from('from before a restore'))
    const started = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, started)
    const { body } = await agent.commitThrough(started.run, receipt, snapshot)
    expect(body.state).toBe('accepted')
    expect(rig.objects.contents.has(receiptKey(agent.repository, 2))).toBe(true)
    expect(await rig.actions()).toContain('receipt.renumbered ok')
  })

  it('is refused for good when the vault holds another snapshot under its name', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, started)
    const key = smallKey(agent.repository, 'snapshot', receipt.snapshot)
    rig.objects.contents.set(key, Buffer.from('planted'))
    const { body } = await agent.commitThrough(started.run, receipt, snapshot)
    expect(body).toMatchObject({ state: 'refused', code: 'exists' })
    expect((await rig.alerts())[0]?.alert_type).toBe('object-conflict')
    expect(await rig.row('SELECT COUNT(*) AS n FROM snapshots')).toMatchObject({ n: 0 })
  })

  it('of another kind of job is refused', async () => {
    const agent = await rig.readyAgent()
    const backup = await rig.started(agent)
    const verify = await rig.started(agent, {
      kind: 'verify',
      parameters: { kind: 'verify', readData: true },
    })
    const receipt = agent.receipt(backup.run, backup.job, thingsOf(backup.job), {
      job: verify.job.id,
    })
    const answer = await agent.commit(verify.run, receipt, thingsOf(backup.job).snapshot)
    expect(answer.body.detail).toBe('a job of kind verify commits no snapshot')
  })
})

describe('claims', () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, n) => ({
      id: sha256(`claim ${n}`),
      bytes: 100,
      type: 'data' as const,
    }))

  async function claimed(count: number) {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const stored = { packs: [], indexes: [], snapshot: thingsOf(job).snapshot }
    const packs = many(count)
    const indexes = [{ id: sha256('the index'), bytes: 50 }]
    const receipt = agent.receipt(run, job, stored, { packs, indexes })
    for (const { id, bytes } of packs) {
      rig.objects.contents.set(packKey(agent.repository, id), Buffer.alloc(bytes))
    }
    rig.objects.contents.set(indexKey(agent.repository, indexes[0]!.id), Buffer.alloc(50))
    const commit = () => agent.commitThrough(run, receipt, stored.snapshot)
    return { agent, run, job, receipt, commit, snapshot: stored.snapshot }
  }

  it('up to two thousand are asked for one by one, in steps', async () => {
    const { commit } = await claimed(1_999)
    const before = rig.objects.calls.list ?? 0
    expect((await commit()).body.state).toBe('accepted')
    expect(rig.objects.calls.head).toBe(2_000)
    expect((rig.objects.calls.list ?? 0) - before).toBe(0)
  })

  it('above that are compared with a listing, which finds the one that is missing', async () => {
    const { commit, agent, receipt } = await claimed(5_000)
    const absent = receipt.packs[4_321]!.id
    rig.objects.contents.delete(packKey(agent.repository, absent))
    const { body } = await commit()
    expect(body).toEqual({
      state: 'refused',
      code: 'claims-missing',
      message: `not in the store: pack ${absent}`,
    })
    expect(rig.objects.calls.list).toBe(6)
    expect(rig.objects.calls.head).toBe(1)
  })

  it('are counted on from where a killed control plane had come', async () => {
    const { agent, run, receipt, snapshot } = await claimed(1_500)
    const { head } = rig.objects
    let asked = 0
    rig.objects.head = async (key) => {
      if (++asked > 700) throw new Error('killed')
      return head(key)
    }
    rig.expectedLogs.push(/killed/)
    await agent.commit(run, receipt, snapshot)
    await rig.door.settled()
    await rig.restart()
    rig.objects.head = head
    rig.objects.calls.head = 0
    expect(await rig.door.agents.commits.sweep()).toBe(1)
    expect(await rig.row('SELECT COUNT(*) AS n FROM snapshots')).toMatchObject({ n: 1 })
    expect(rig.objects.calls.head).toBe(1_001) // the first step of 500 was kept
  })

  it('that this batch’s first snapshot made sure of are not asked for again by its second', async () => {
    const agent = await rig.readyAgent()
    const first = await rig.started(agent, { source: 'volume:a' })
    const { receipt, snapshot } = await uploaded(agent, first)
    await agent.commitThrough(first.run, receipt, snapshot)
    const before = rig.objects.calls.head ?? 0
    await agent.finish(first.run, first.job)
    const second = await rig.started(agent, { source: 'volume:b' })
    const { packs, indexes } = receipt
    const next = agent.receipt(second.run, second.job, thingsOf(second.job), { packs, indexes })
    const { body } = await agent.commitThrough(second.run, next, thingsOf(second.job).snapshot)
    expect(body.state).toBe('accepted')
    // Another batch, another lock: what was seen before it counts for nothing.
    expect((rig.objects.calls.head ?? 0) - before).toBe(3)
  })
})
