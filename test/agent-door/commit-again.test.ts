// A claim that was refused and can be mended is followed by another of the same attempt.
import { describe, expect, it } from 'vitest'
import { createCommitsStore } from '../../control-plane/adapters/libsql/store/commits.ts'
import { newEvent } from '../../control-plane/core/event.ts'
import { smallKey } from '../../shared/vault/layout.ts'
import { systemRandom } from '../support/system-clock.ts'
import { type Agent, thingsOf, wantedOf } from './agent.ts'
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

describe('a commit', () => {
  it('refused as stale is followed by another claim of the same attempt, and that one makes the snapshot', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, started)
    await rig.door.database.write(['UPDATE repositories SET epoch = epoch + 1'])
    const stale = await agent.commitThrough(started.run, receipt, snapshot)
    expect(stale.body).toMatchObject({ state: 'refused', code: 'epoch-stale' })
    // The very same claim cannot be right now either.
    expect((await agent.commit(started.run, receipt, snapshot)).body).toEqual(stale.body)
    const fresh = { ...receipt, epoch: receipt.epoch + 1 }
    const second = await agent.commitThrough(started.run, fresh, snapshot)
    expect(second.body).toEqual({ state: 'accepted' })
    // An answer that was lost long ago: the first claim comes once more.
    expect((await agent.commit(started.run, receipt, snapshot)).body.code).toBe('already-exists')
    expect(snapshotObjects()).toEqual([smallKey(agent.repository, 'snapshot', receipt.snapshot)])
    await agent.finish(started.run, started.job)
    const row = await rig.row("SELECT outcome FROM jobs WHERE kind = 'backup'")
    expect(row).toMatchObject({ outcome: 'succeeded' })
  })

  it('whose claims were missing is followed by one that claims what was stored since', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const stored = thingsOf(job, 2)
    const early = agent.receipt(run, job, stored)
    const missing = await agent.commitThrough(run, early, stored.snapshot)
    expect(missing.body).toMatchObject({ state: 'refused', code: 'claims-missing' })
    const later = thingsOf({ id: `${job.id} again`, attempt: 1 }, 2)
    const granted = await agent.ask(run, 'grants', { wanted: wantedOf(later), stored: [] }, job)
    const bytes = [...later.packs, ...later.indexes]
    for (const [at, grant] of granted.body.grants.entries()) {
      expect(rig.objects.upload(grant.url, bytes[at]!)).toBe(200)
    }
    const answer = await agent.commitThrough(run, agent.receipt(run, job, later), later.snapshot)
    expect(answer.body).toEqual({ state: 'accepted' })
    expect(snapshotObjects()).toHaveLength(1)
  })

  it('that takes the place of another is not ended by what was found out about that one', async () => {
    const agent = await rig.readyAgent()
    const started = await rig.started(agent)
    const { receipt, snapshot } = await uploaded(agent, started)
    const { run, job } = started
    const commits = createCommitsStore(rig.door.database)
    await agent.commit(run, { ...receipt, epoch: receipt.epoch + 1 }, snapshot)
    const before = (await commits.find(job.id, 1))!
    expect(before.state).toBe('refused')
    expect((await agent.commitThrough(run, receipt, snapshot)).body).toEqual({ state: 'accepted' })
    const why = { code: 'epoch-stale', message: 'late', at: rig.clock.now() } as const
    const late = { ...before, state: 'accepted' } as const
    const event = newEvent(
      { clock: rig.clock, random: systemRandom },
      {
        actor: 'system',
        action: 'snapshot.refused',
        target: `snapshot:${before.snapshot}`,
        outcome: 'refused',
        host: agent.host,
        details: {},
      },
    )
    expect(await commits.refuse(late, why, { events: [event] })).toBe(false)
    expect((await commits.find(job.id, 1))!.state).toBe('accepted')
  })
})
