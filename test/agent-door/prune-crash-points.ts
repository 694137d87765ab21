// The control plane dies at one chosen write or store call of a prune's whole way, and starts again.
import { expect } from 'vitest'
import type { Database } from '../../control-plane/adapters/libsql/client.ts'
import { DAY } from '../../shared/clock.ts'
import type { Run } from '../../shared/protocol/from-control.ts'
import { indexKey, packKey, smallKey } from '../../shared/vault/layout.ts'
import { type Agent, type Answer, queueJob } from './agent.ts'
import { createReaper, reapObjects } from './crash-points.ts'
import { type Backup, backedUp, PRUNE, propose, retire, retirementOf } from './retiring.ts'
import type { Rig } from './rig.ts'

/** Resolves to false when the way was over before the chosen point came. */
export async function dieInPruneAt(
  rig: Rig,
  at: number,
  form: 'before' | 'after',
): Promise<boolean> {
  const agent = await rig.readyAgent(`web-${at}-${form}`)
  const old = await backedUp(rig, agent, 'volume:old')
  const kept = await backedUp(rig, agent, 'volume:kept')
  rig.objects.contents.delete(smallKey(agent.repository, 'snapshot', old.snapshot))
  await rig.door.database.write([
    { sql: `UPDATE snapshots SET state = 'forgotten' WHERE id = ?`, args: [old.snapshot] },
  ])
  const replaced = indexKey(agent.repository, old.indexes[0]!)
  const doomed = old.packs.map((id) => packKey(agent.repository, id))
  rig.objects.mayRemove = (key) => key === replaced || doomed.includes(key)
  rig.expectedLogs.push(/died|database|failed|answered|fault/i)

  const reaper = createReaper(at, form)
  await rig.restart({
    objects: reapObjects(rig.objects, reaper.pass),
    wrap: (database): Database => ({
      ...database,
      write: (statements) => reaper.pass(() => database.write(statements)),
    }),
  })
  const way = createWay(rig, agent, () => reaper.dead)
  await way.prune({
    walked: [kept.snapshot],
    replacedIndexes: [...old.indexes],
    condemned: old.packs.map((id) => ({ id, bytes: 220, heirs: [] })),
  })
  await rig.clock.skip(8 * DAY)
  await way.prune({ confirmed: [...old.packs] })
  for (let round = 0; round < 4; round++) {
    await rig.door.agents.chores.deletions().catch(() => undefined)
    if (reaper.dead) await way.revive()
  }
  await agent.hangUp()
  await expectPruned(rig, agent, old, kept)
  rig.objects.mayRemove = () => false
  return reaper.dead
}

/** An agent that never forgets what it was told and repeats every call until it is answered. */
function createWay(rig: Rig, agent: Agent, isDead: () => boolean) {
  let alive = true

  async function revive(): Promise<void> {
    if (isDead() && alive) {
      alive = false
      await agent.hangUp()
      await rig.restart()
      agent.url = rig.door.url
    }
    if (agent.socket === undefined || agent.socket.readyState !== agent.socket.OPEN) {
      await agent.hangUp()
      await agent.connect()
    }
  }

  async function stubborn(ask: () => Promise<Answer>): Promise<Answer> {
    for (let tried = 0; tried < 30; tried++) {
      const answer = await ask().catch(() => undefined)
      const passing = answer === undefined || answer.status >= 500 || answer.status === 401
      if (!passing && answer.body.code !== 'conflict') return answer
      await revive().catch(() => undefined)
      await rig.door.settled()
    }
    throw new Error('never answered')
  }

  async function carryOut(run: Run, more: Parameters<typeof retirementOf>[3]): Promise<void> {
    const [job] = run.jobs
    await stubborn(() => agent.lease(run))
    const told = await stubborn(() => propose(agent, run, 10_000))
    expect(told.body).toEqual({ decision: 'go' })
    const wanted = retirementOf(agent, run, job!, more)
    for (let tried = 0; ; tried++) {
      const answer = await stubborn(() => retire(agent, run, wanted))
      if (answer.body.state === 'accepted') break
      expect(answer.body).toEqual({ state: 'checking' })
      expect(tried).toBeLessThan(50)
      await rig.door.settled()
      if (isDead() && alive) await revive()
      else await rig.door.agents.chores.retirements().catch(() => undefined)
    }
    await stubborn(() => agent.finish(run, job!))
  }

  return {
    revive,
    async prune(more: Parameters<typeof retirementOf>[3]): Promise<void> {
      await agent.hangUp()
      const job = await queueJob(rig.door, {
        ...agent,
        kind: 'prune',
        source: 'volume:none',
        parameters: PRUNE,
      })
      const known = new Set<string>()
      for (let round = 0; round < 30; round++) {
        const row = await rig.row('SELECT state FROM jobs WHERE id = ?', [job])
        if (row?.state === 'finished') return
        await revive().catch(() => undefined)
        await rig.door.agents.dispatch.host(agent.host).catch(() => undefined)
        const run = await agent.frame('run', 200).catch(() => undefined)
        if (run === undefined) {
          await agent.hangUp()
          continue
        }
        if (known.has(run.batch)) continue
        known.add(run.batch)
        await carryOut(run, more)
      }
      throw new Error('the prune never ended')
    },
  }
}

/** What was given up is gone, once, and in the log; everything else is there; the catalogue agrees with the bucket. */
async function expectPruned(rig: Rig, agent: Agent, old: Backup, kept: Backup): Promise<void> {
  const { repository } = agent
  const there = (key: string) => rig.objects.contents.has(key)
  expect(old.packs.filter((id) => there(packKey(repository, id)))).toEqual([])
  expect(old.indexes.filter((id) => there(indexKey(repository, id)))).toEqual([])
  expect(kept.packs.filter((id) => !there(packKey(repository, id)))).toEqual([])
  expect(kept.indexes.filter((id) => !there(indexKey(repository, id)))).toEqual([])
  expect(await rig.row('SELECT epoch FROM repositories WHERE id = ?', [repository])).toMatchObject({
    epoch: 1,
  })
  const known = await rig.row('SELECT SUM(bytes) AS n FROM objects WHERE repository = ?', [
    repository,
  ])
  const bytes = [...rig.objects.contents]
    .filter(([key]) => key.startsWith(`repositories/${repository}/`))
    .filter(([key]) => /\/(?:data|index)\//.test(key))
    .reduce((sum, [, content]) => sum + content.length, 0)
  expect(known).toMatchObject({ n: bytes })
  const { rows } = await rig.door.database.read(
    `SELECT entry FROM audit WHERE action = 'object.deleted' AND host = ?`,
    [agent.host],
  )
  const logged = rows.map(({ entry }) => JSON.parse(String(entry)).details.sha256)
  expect(new Set(logged)).toEqual(new Set(old.packs))
  expect(logged).toHaveLength(old.packs.length)
  const accepted = await rig.row(
    `SELECT COUNT(*) AS n FROM audit WHERE action = 'prune.accepted' AND host = ?`,
    [agent.host],
  )
  expect(accepted).toMatchObject({ n: 2 })
  const log = await rig.row('SELECT COUNT(*) AS n, MAX(seq) AS last, MIN(seq) AS first FROM audit')
  expect(log).toMatchObject({ first: 0, last: Number(log?.n) - 1 })
}
