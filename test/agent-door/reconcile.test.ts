import { beforeEach, describe, expect, it } from 'vitest'
import { createSnapshotsStore } from '../../control-plane/adapters/libsql/store/snapshots.ts'
import { DAY, HOUR } from '../../shared/clock.ts'
import { packKey, smallKey } from '../../shared/vault/layout.ts'
import { type Agent, sha256 } from './agent.ts'
import { type Backup, backedUp, bytesKnown, bytesThere, pruning } from './retiring.ts'
import { useRig } from './rig.ts'

const rig = useRig()
let agent: Agent
let old: Backup
let kept: Backup
beforeEach(async () => {
  agent = await rig.readyAgent()
  old = await backedUp(rig, agent, 'volume:old')
  kept = await backedUp(rig, agent, 'volume:kept')
})

describe('the bucket and the catalogue', () => {
  const snapshots = () => createSnapshotsStore(rig.door.database)

  it('are compared: a snapshot that somebody removed is marked and alarmed, once', async () => {
    rig.objects.contents.delete(smallKey(agent.repository, 'snapshot', kept.snapshot))
    await rig.clock.skip(HOUR)
    await rig.door.agents.chores.reconcile()
    await rig.clock.skip(2 * DAY)
    await rig.door.agents.chores.reconcile()
    expect(
      await rig.row('SELECT state FROM snapshots WHERE id = ?', [kept.snapshot]),
    ).toMatchObject({ state: 'vanished' })
    const alerts = (await rig.alerts()).filter((one) => one.alert_type === 'snapshots-removed')
    expect(alerts).toHaveLength(1)
    expect((await rig.actions()).filter((one) => one.startsWith('snapshot.vanished'))).toHaveLength(
      1,
    )
  })

  it('agree on packs again after somebody else pruned', async () => {
    await rig.clock.skip(2 * DAY)
    rig.objects.contents.delete(packKey(agent.repository, old.packs[0]!))
    const foreign = sha256('foreign pack')
    rig.objects.contents.set(packKey(agent.repository, foreign), Buffer.alloc(90))
    await rig.door.agents.chores.reconcile()
    expect(await bytesKnown(rig)).toBe(bytesThere(rig))
  })

  it('have unknown snapshots read by the host and entered as foreign, copies under their job', async () => {
    const put = (name: string) => {
      const bytes = Buffer.from(name.padEnd(60, '.'))
      rig.objects.contents.set(smallKey(agent.repository, 'snapshot', sha256(bytes)), bytes)
      return { id: sha256(bytes), bytes: bytes.length }
    }
    const foreign = put('foreign')
    const copy = put('copy')
    const { run, job } = await pruning(rig, agent)
    const listed = await agent.ask(run, 'listing', { what: 'unknown-snapshots' })
    expect(listed.body.objects).toHaveLength(2)
    const tree = (await rig.row('SELECT tree FROM snapshots WHERE id = ?', [kept.snapshot]))!.tree
    const common = { time: '2026-01-02T03:04:05.678Z', hostname: 'laptop' }
    const entries = [
      { ...foreign, ...common, tree: sha256('t'), paths: ['/etc', '/etc/ssl'], tags: ['mine'] },
      {
        ...copy,
        ...common,
        tree,
        paths: ['/volumes/kept'],
        tags: ['job:x', 'gold'],
        original: kept.snapshot,
      },
    ]
    const missing = { ...entries[0], id: sha256('nowhere') }
    expect((await agent.ask(run, 'reconcile', { snapshots: [missing] })).body.code).toBe('invalid')
    expect((await agent.ask(run, 'reconcile', { snapshots: entries })).status).toBe(200)
    expect((await agent.ask(run, 'reconcile', { snapshots: entries })).status).toBe(200)
    const again = await agent.ask(run, 'listing', { what: 'unknown-snapshots' })
    expect(again.body.objects).toEqual([])
    const row = (id: string) =>
      rig.row('SELECT source, job, is_foreign, policy_name FROM snapshots WHERE id = ?', [id])
    expect(await row(foreign.id)).toMatchObject({
      source: 'directory:/etc',
      job: null,
      is_foreign: 1,
    })
    const original = await row(kept.snapshot)
    expect(await row(copy.id)).toMatchObject({
      source: 'volume:kept',
      job: original!.job,
      is_foreign: 0,
    })
    const seen = await snapshots().kept(agent.repository)
    expect(seen.find(({ id }) => id === copy.id)?.tags).toContain('gold')
    expect(seen.find(({ id }) => id === foreign.id)?.unclaimed).toBe(true)
    await agent.finish(run, job)
  })

  it('are no business of a backup', async () => {
    const { run } = await rig.started(agent, { source: 'volume:data' })
    const answer = await agent.ask(run, 'reconcile', { snapshots: [] })
    expect(answer.body.code).toBe('forbidden')
  })
})
