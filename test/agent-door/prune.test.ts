import { beforeEach, describe, expect, it } from 'vitest'
import { DAY, MINUTE } from '../../shared/clock.ts'
import { indexKey, packKey, smallKey } from '../../shared/vault/layout.ts'
import { type Agent, queueJob, sha256 } from './agent.ts'
import {
  type Backup,
  backedUp,
  bytesKnown,
  bytesThere,
  propose,
  pruning,
  retire,
  retirementOf,
  retireThrough,
  stored,
} from './retiring.ts'
import { useRig } from './rig.ts'

const rig = useRig()
const condemnedRows = async () =>
  (await rig.door.database.read('SELECT id, state, confirmed_at FROM condemned ORDER BY id')).rows
const epoch = async () => (await rig.row('SELECT epoch FROM repositories'))?.epoch
const there = (key: string) => rig.objects.contents.has(key)

/** The snapshot is forgotten and gone, as retention would have it. */
async function forget({ snapshot }: Backup, agent: Agent): Promise<void> {
  rig.objects.contents.delete(smallKey(agent.repository, 'snapshot', snapshot))
  await rig.door.database.write([
    { sql: `UPDATE snapshots SET state = 'forgotten' WHERE id = ?`, args: [snapshot] },
  ])
}

let agent: Agent
let old: Backup
let kept: Backup
beforeEach(async () => {
  agent = await rig.readyAgent()
  old = await backedUp(rig, agent, 'volume:old')
  kept = await backedUp(rig, agent, 'volume:kept')
  await forget(old, agent)
  rig.objects.mayRemove = (key) => old.indexes.some((id) => key === indexKey(agent.repository, id))
})

/** What an honest prune says now: the old snapshot's packs and index go, nothing is written anew. */
const honest = () => ({
  walked: [kept.snapshot],
  replacedIndexes: [...old.indexes],
  condemned: old.packs.map((id) => ({ id, bytes: 220, heirs: [] })),
})

describe('a prune', () => {
  it('has its packs condemned, and deleted only days later when another prune says so again', async () => {
    const first = await pruning(rig, agent)
    expect((await propose(agent, first.run, 10_000)).body).toEqual({ decision: 'go' })
    const wanted = retirementOf(agent, first.run, first.job, honest())
    expect((await retireThrough(agent, first.run, wanted)).body).toEqual({ state: 'accepted' })
    expect((await retire(agent, first.run, wanted)).body).toEqual({ state: 'accepted' })
    expect(there(indexKey(agent.repository, old.indexes[0]!))).toBe(false)
    expect(await epoch()).toBe(1)
    expect((await condemnedRows()).map(({ state }) => state)).toEqual(['condemned', 'condemned'])
    expect(await bytesKnown(rig)).toBe(bytesThere(rig))
    await agent.finish(first.run, first.job)

    // Long after the floor, but nobody confirmed: nothing is deleted.
    await rig.clock.skip(8 * DAY)
    await rig.door.agents.chores.deletions()
    expect(there(packKey(agent.repository, old.packs[0]!))).toBe(true)

    await agent.hangUp()
    await agent.connect()
    const second = await pruning(rig, agent)
    const listed = await agent.ask(second.run, 'listing', { what: 'condemned' })
    expect(listed.body.objects.map(({ id }: { id: string }) => id)).toEqual([...old.packs].sort())
    const again = retirementOf(agent, second.run, second.job, { confirmed: [...old.packs] })
    expect((await retireThrough(agent, second.run, again)).body).toEqual({ state: 'accepted' })
    await agent.finish(second.run, second.job)
    rig.objects.mayRemove = (key) => old.packs.some((id) => key === packKey(agent.repository, id))
    await rig.door.agents.chores.deletions()
    for (const id of old.packs) expect(there(packKey(agent.repository, id))).toBe(false)
    for (const id of kept.packs) expect(there(packKey(agent.repository, id))).toBe(true)
    expect((await condemnedRows()).map(({ state }) => state)).toEqual(['deleted', 'deleted'])
    expect(await bytesKnown(rig)).toBe(bytesThere(rig))
    const { rows } = await rig.door.database.read(
      `SELECT entry FROM audit WHERE action = 'object.deleted' ORDER BY seq`,
    )
    const hashes = rows.map(({ entry }) => JSON.parse(String(entry)).details.sha256)
    expect(hashes.sort()).toEqual([...old.packs].sort())
    expect(await epoch()).toBe(1)
  })

  it('confirms nothing before the floor, and a confirmation is good for two days', async () => {
    const first = await pruning(rig, agent)
    await propose(agent, first.run, 10_000)
    await retireThrough(agent, first.run, retirementOf(agent, first.run, first.job, honest()))
    await agent.finish(first.run, first.job)
    const second = await pruning(rig, agent)
    const again = retirementOf(agent, second.run, second.job, { confirmed: [...old.packs] })
    expect((await retireThrough(agent, second.run, again)).body).toEqual({ state: 'accepted' })
    await agent.finish(second.run, second.job)
    await rig.door.agents.chores.deletions()
    await rig.clock.skip(8 * DAY)
    await rig.door.agents.chores.deletions()
    expect((await condemnedRows()).map(({ state }) => state)).toEqual(['condemned', 'condemned'])
  })

  it('spares what it does not confirm: an index file that lists it may have come back', async () => {
    const first = await pruning(rig, agent)
    await propose(agent, first.run, 10_000)
    await retireThrough(agent, first.run, retirementOf(agent, first.run, first.job, honest()))
    await agent.finish(first.run, first.job)
    const second = await pruning(rig, agent)
    const one = retirementOf(agent, second.run, second.job, { confirmed: [old.packs[0]!] })
    expect((await retireThrough(agent, second.run, one)).body).toEqual({ state: 'accepted' })
    expect((await condemnedRows()).map(({ id }) => id)).toEqual([old.packs[0]])
  })

  it('above a tenth of the repository waits for a person, and people are told once', async () => {
    const { run, job } = await pruning(rig, agent, { approvedBytes: 0 })
    expect((await propose(agent, run, 10_000)).body).toMatchObject({ decision: 'wait' })
    expect((await propose(agent, run, 10_000)).body).toMatchObject({ decision: 'wait' })
    const alerts = (await rig.alerts()).filter((one) => one.alert_type === 'prune-needs-approval')
    expect(alerts).toHaveLength(1)
    expect(alerts[0]?.message).toContain(`holdfast prune approve ${job.id}`)
    const wanted = retirementOf(agent, run, job, honest())
    expect((await retireThrough(agent, run, wanted)).body).toMatchObject({
      state: 'refused',
      code: 'forbidden',
    })
    await agent.finish(run, job, 'warning', 'needs-approval')
    expect((await rig.alerts()).map((one) => one.alert_type)).not.toContain('job-warning')
    expect(await epoch()).toBe(0)
  })

  it('below a tenth goes on by itself, by our own count and not by the host’s', async () => {
    const { run } = await pruning(rig, agent, { approvedBytes: 0 })
    const own = Number(
      (await rig.row(`SELECT SUM(bytes) AS n FROM objects WHERE what = 'pack'`))?.n,
    )
    expect((await propose(agent, run, Math.floor(own / 10))).body).toEqual({ decision: 'go' })
    expect((await propose(agent, run, Math.floor(own / 10) + 1)).body.decision).toBe('wait')
  })

  it('that was told to wait at first and repeats less goes on', async () => {
    const { run } = await pruning(rig, agent, { approvedBytes: 0 })
    expect((await propose(agent, run, 10_000)).body.decision).toBe('wait')
    expect((await propose(agent, run, 1)).body.decision).toBe('go')
  })
})

describe('a retirement is refused', () => {
  async function refused(
    more: Parameters<typeof retirementOf>[3],
    proposed = 10_000,
  ): Promise<{ code: string; message: string }> {
    const { run, job } = await pruning(rig, agent)
    await propose(agent, run, proposed)
    const answer = await retireThrough(agent, run, retirementOf(agent, run, job, more))
    expect(answer.body.state).toBe('refused')
    expect(await epoch()).toBe(0)
    expect(await condemnedRows()).toEqual([])
    for (const id of [...old.indexes, ...kept.indexes]) {
      expect(there(indexKey(agent.repository, id))).toBe(true)
    }
    return answer.body
  }

  it('when it condemns more than was proposed, by our own count', async () => {
    const lies = old.packs.map((id) => ({ id, bytes: 0, heirs: [] }))
    expect(await refused({ ...honest(), condemned: lies }, 100)).toMatchObject({
      code: 'forbidden',
    })
  })

  it('when a pack that was there before a kept snapshot’s run is named by its receipt', async () => {
    // The next backup finds everything again: its receipt names packs that were stored before it began.
    await rig.clock.skip(MINUTE)
    const { run, job } = await rig.started(agent, { source: 'volume:kept' })
    const things = { packs: [], indexes: [], snapshot: Buffer.from('again'.repeat(20)) }
    const receipt = agent.receipt(run, job, things, {
      refers: { base: null, packs: [...kept.packs] },
    })
    expect((await agent.commitThrough(run, receipt, things.snapshot)).body.state).toBe('accepted')
    await agent.finish(run, job)
    await forget(kept, agent)
    const condemned = kept.packs.map((id) => ({ id, bytes: 220, heirs: [] }))
    const lies = { walked: [receipt.snapshot], condemned }
    expect(await refused(lies)).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(receipt.snapshot),
    })
  })

  it('when a snapshot it did not walk may need a pack, by its receipt', async () => {
    const condemned = kept.packs.map((id) => ({ id, bytes: 220, heirs: [] }))
    expect(await refused({ walked: [], condemned })).toMatchObject({ code: 'conflict' })
  })

  it('when the bucket holds a snapshot that nobody read', async () => {
    rig.objects.contents.set(
      smallKey(agent.repository, 'snapshot', sha256('foreign')),
      Buffer.alloc(50),
    )
    expect(await refused(honest())).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(sha256('foreign')),
    })
  })

  it.each([
    ['heirs that nobody stored', { heirs: [sha256('nobody')] }, 'claims-missing'],
    ['heirs that go themselves', { heirs: ['other'] }, 'invalid'],
  ])('when it names %s', async (_, { heirs }, code) => {
    const [first, second] = old.packs as [string, string]
    const condemned = [
      { id: first, bytes: 220, heirs: heirs.map((id) => (id === 'other' ? second : id)) },
      { id: second, bytes: 220, heirs: [] },
    ]
    expect(await refused({ ...honest(), condemned })).toMatchObject({ code })
  })

  it('when what it says it stored is not there', async () => {
    const added = { packs: [], indexes: [{ id: sha256('index'), bytes: 99 }] }
    expect(await refused({ ...honest(), added })).toMatchObject({ code: 'claims-missing' })
  })

  it('when it would leave snapshots without any index file', async () => {
    const replacedIndexes = [...old.indexes, ...kept.indexes]
    expect(await refused({ ...honest(), replacedIndexes })).toMatchObject({ code: 'invalid' })
  })

  it('when its index was listed in another epoch', async () => {
    expect(await refused({ ...honest(), epoch: 7 })).toMatchObject({ code: 'epoch-stale' })
  })

  it('when it names a pack twice', async () => {
    const [pack] = honest().condemned
    expect(await refused({ ...honest(), condemned: [pack!, pack!] })).toMatchObject({
      code: 'invalid',
    })
  })

  it('when it comes from a job of another kind, from another host, or unsigned', async () => {
    const { run, job } = await rig.started(agent, { source: 'volume:data' })
    const wanted = retirementOf(agent, run, job, honest())
    expect((await retire(agent, run, wanted)).body).toMatchObject({ code: 'forbidden' })
    expect((await propose(agent, run, 1)).body).toMatchObject({ code: 'forbidden' })
    await agent.finish(run, job, 'failed', 'internal-error')
    const second = await pruning(rig, agent)
    const own = retirementOf(agent, second.run, second.job, honest())
    const body = { retirement: own, signature: '0'.repeat(128) }
    const forged = await agent.call(`batches/${second.run.batch}/retire`, body)
    expect(forged.body).toMatchObject({ code: 'invalid' })
    const other = { ...own, host: '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee' }
    expect((await retire(agent, second.run, other)).body).toMatchObject({ code: 'invalid' })
  })
})

describe('what is repacked', () => {
  it('goes when heirs are stored, and the new index files count', async () => {
    const started = await pruning(rig, agent)
    const { run, job } = started
    await propose(agent, run, 10_000)
    const heir = await stored(rig, agent, started, 'pack', 'heir')
    const index = await stored(rig, agent, started, 'index', 'index')
    const wanted = retirementOf(agent, run, job, {
      walked: [kept.snapshot],
      added: { packs: [{ ...heir, type: 'data' }], indexes: [index] },
      condemned: kept.packs.map((id) => ({ id, bytes: 220, heirs: [heir.id] })),
    })
    expect((await retireThrough(agent, run, wanted)).body).toEqual({ state: 'accepted' })
    expect(await bytesKnown(rig)).toBe(bytesThere(rig))
    await agent.finish(run, job)
    // The heir of a kept snapshot's packs is needed now, whatever a later prune says.
    const second = await pruning(rig, agent)
    await propose(agent, second.run, 10_000)
    const lies = retirementOf(agent, second.run, second.job, {
      condemned: [{ id: heir.id, bytes: heir.bytes, heirs: [] }],
      confirmed: [...kept.packs],
    })
    expect((await retireThrough(agent, second.run, lies)).body).toMatchObject({ code: 'conflict' })
  })
})

describe('leftovers of broken runs', () => {
  it('are condemned when a week old and of no open job', async () => {
    const loose = (name: string, age: number) => {
      const bytes = Buffer.from(name.padEnd(100, '.'))
      const id = sha256(bytes)
      rig.objects.contents.set(packKey(agent.repository, id), bytes)
      rig.objects.modified.set(packKey(agent.repository, id), rig.clock.now() - age)
      return { id, bytes: bytes.length }
    }
    const oldOne = loose('old', 8 * DAY)
    const young = loose('young', 6 * DAY)
    const open = loose('open', 30 * DAY)
    const waits = await queueJob(rig.door, { ...agent, source: 'volume:later' })
    await rig.door.database.write([
      {
        sql: `UPDATE jobs SET not_before = ? WHERE id = ?`,
        args: [rig.clock.now() + DAY, waits],
      },
      {
        sql: `INSERT INTO objects (repository, id, what, bytes, job, stored_at) VALUES (?, ?, 'pack', 100, ?, 0)`,
        args: [agent.repository, open.id, waits],
      },
    ])
    const { run, job } = await pruning(rig, agent)
    const wanted = retirementOf(agent, run, job, { unindexed: [oldOne, young, open] })
    expect((await retireThrough(agent, run, wanted)).body).toEqual({ state: 'accepted' })
    expect((await condemnedRows()).map(({ id }) => id)).toEqual([oldOne.id])
  })
})

describe('a commit', () => {
  it('that refers to a condemned pack is refused', async () => {
    const first = await pruning(rig, agent)
    await propose(agent, first.run, 10_000)
    await retireThrough(agent, first.run, retirementOf(agent, first.run, first.job, honest()))
    await agent.finish(first.run, first.job)
    const { run, job } = await rig.started(agent, { source: 'volume:late' })
    const things = { packs: [], indexes: [], snapshot: Buffer.from('late'.repeat(20)) }
    const receipt = agent.receipt(run, job, things, {
      refers: { base: null, packs: [old.packs[0]!] },
    })
    const answer = await agent.commitThrough(run, receipt, things.snapshot)
    expect(answer.body).toMatchObject({ state: 'refused', code: 'claims-missing' })
  })
})
