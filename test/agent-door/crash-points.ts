// The control plane dies at one chosen write or store call of a host's whole way, and starts again.
import { expect } from 'vitest'
import type { Database } from '../../control-plane/adapters/libsql/client.ts'
import { SECOND } from '../../shared/clock.ts'
import type { Run } from '../../shared/protocol/from-control.ts'
import type { StrictObjects } from '../support/strict-objects.ts'
import { Agent, type Answer, initialBody, queueJob, thingsOf, wantedOf } from './agent.ts'
import type { Rig } from './rig.ts'

/** Counts what leaves the process, and dies at one of them: before it happened, or right after. */
export function createReaper(at: number, form: 'before' | 'after') {
  let count = 0
  const reaper = {
    dead: false,
    get count() {
      return count
    },
    async pass<T>(act: () => Promise<T>): Promise<T> {
      const die = () => {
        reaper.dead = true
        throw new Error('the process died')
      }
      if (reaper.dead) return die()
      const mine = count++
      if (mine === at && form === 'before') return die()
      const result = await act()
      if (mine === at || reaper.dead) return die()
      return result
    },
  }
  return reaper
}

/** Resolves to false when the way was over before the chosen point came. */
export async function dieAt(rig: Rig, at: number, form: 'before' | 'after'): Promise<boolean> {
  const agent = await Agent.enrol(rig.door, `web-${at}-${form}`)
  rig.expectedLogs.push(/died|database|failed|answered|fault/i)
  const reaper = createReaper(at, form)
  const objects = reapObjects(rig.objects, reaper.pass)
  await rig.restart({
    objects,
    wrap: (database): Database => ({
      ...database,
      write: (statements) => reaper.pass(() => database.write(statements)),
    }),
  })
  agent.url = rig.door.url
  const job = await queueJob(rig.door, agent)
  const way = createWay(rig, agent, () => reaper.dead)
  await way.until(job)
  await agent.hangUp()
  await expectOne(rig, agent, job)
  return reaper.dead
}

export function reapObjects(
  objects: StrictObjects,
  pass: <T>(act: () => Promise<T>) => Promise<T>,
) {
  const reaped = ['put', 'head', 'list', 'get', 'remove', 'signPut', 'signGet'] as const
  return Object.fromEntries(
    Object.entries(objects).map(([name, value]) =>
      reaped.includes(name as (typeof reaped)[number])
        ? [
            name,
            (...args: never[]) =>
              pass(() => (value as (...a: never[]) => Promise<unknown>)(...args)),
          ]
        : [name, value],
    ),
  ) as unknown as StrictObjects
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
    await agent.connect()
  }

  async function stubborn(ask: () => Promise<Answer>): Promise<Answer> {
    for (let tried = 0; tried < 20; tried++) {
      const answer = await ask().catch(() => undefined)
      const passing = answer === undefined || answer.status >= 500 || answer.status === 401
      if (!passing && answer.body.code !== 'conflict') return answer
      await revive().catch(() => undefined)
      await rig.door.settled()
    }
    throw new Error('never answered')
  }

  async function carryOut(run: Run): Promise<void> {
    const [job] = run.jobs
    await stubborn(() => agent.lease(run))
    if (job!.parameters.kind === 'init') {
      await stubborn(() => agent.ask(run, 'initialise', initialBody(agent.repository)))
    } else {
      const stored = thingsOf(job!)
      const wanted = wantedOf(stored)
      const granted = await stubborn(() => agent.ask(run, 'grants', { wanted, stored: [] }))
      for (const [n, bytes] of [...stored.packs, ...stored.indexes].entries()) {
        const status = rig.objects.upload(granted.body.grants[n].url, bytes)
        expect([200, 412]).toContain(status)
      }
      const receipt = agent.receipt(run, job!, stored)
      for (;;) {
        const answer = await stubborn(() => agent.commit(run, receipt, stored.snapshot))
        if (answer.body.state === 'accepted') break
        expect(answer.body.state).toBe('checking')
        await rig.door.settled()
        if (isDead() && alive) await revive()
        else await rig.door.agents.commits.sweep().catch(() => undefined)
      }
    }
    await stubborn(() => agent.finish(run, job!))
  }

  return {
    async until(job: string): Promise<void> {
      const known = new Set<string>()
      for (let round = 0; round < 30; round++) {
        const row = await rig.row('SELECT state FROM jobs WHERE id = ?', [job])
        if (row?.state === 'finished') return
        if (agent.socket === undefined || (isDead() && alive)) await revive().catch(() => undefined)
        await rig.door.agents.dispatch.host(agent.host).catch(() => undefined)
        const run = await agent.frame('run', SECOND / 10).catch(() => undefined)
        if (run === undefined) {
          await agent.hangUp()
          continue
        }
        if (known.has(run.batch)) continue
        known.add(run.batch)
        await carryOut(run)
      }
      throw new Error('the job never ended')
    },
  }
}

/** One job, one snapshot: in the vault, in the catalogue, in the log; and a log without a gap. */
async function expectOne(rig: Rig, agent: Agent, job: string): Promise<void> {
  expect(await rig.row('SELECT outcome, attempt FROM jobs WHERE id = ?', [job])).toMatchObject({
    outcome: 'succeeded',
    attempt: 1,
  })
  const { rows } = await rig.door.database.read('SELECT id FROM snapshots WHERE job = ?', [job])
  const written = [...rig.objects.contents.keys()].filter((key) =>
    key.startsWith(`repositories/${agent.repository}/snapshots/`),
  )
  expect(written).toEqual(rows.map(({ id }) => `repositories/${agent.repository}/snapshots/${id}`))
  expect(rows).toHaveLength(1)
  const accepted = await rig.row(
    "SELECT COUNT(*) AS n FROM audit WHERE action = 'snapshot.accepted' AND job = ?",
    [job],
  )
  expect(accepted).toMatchObject({ n: 1 })
  const log = await rig.row('SELECT COUNT(*) AS n, MAX(seq) AS last, MIN(seq) AS first FROM audit')
  expect(log).toMatchObject({ first: 0, last: Number(log?.n) - 1 })
  const init = await rig.row(
    "SELECT COUNT(*) AS n FROM jobs WHERE kind = 'init' AND host = ? AND outcome = 'succeeded'",
    [agent.host],
  )
  expect(init).toMatchObject({ n: 1 })
}
