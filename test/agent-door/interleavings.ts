// Whatever order calls come in, how often, and by which control plane: one snapshot per job, by the attempt that owned it.
import fc from 'fast-check'
import { expect } from 'vitest'
import { MINUTE } from '../../shared/clock.ts'
import type { Run } from '../../shared/protocol/from-control.ts'
import { type Agent, queueJob, thingsOf, wantedOf } from './agent.ts'
import type { Door } from './door.ts'
import type { Rig } from './rig.ts'

/** Which of the runs the agent ever got, counted from the newest; `twin` asks the second control plane. */
const which = { back: fc.nat({ max: 3 }), twin: fc.boolean() }
const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('lease' as const), ...which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('upload' as const), ...which }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('commit' as const), ...which }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('finish' as const),
      outcome: fc.constantFrom('succeeded', 'failed', 'lost', 'cancelled'),
      ...which,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('silence' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('dispatch' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('sweep' as const), twin: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('queue' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('store-fault' as const) }) },
)
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

/** What happened at all, over all runs: a property over things that never happen proves nothing. */
const seen: Record<string, number> = {}

class World {
  readonly runs: Run[] = []
  readonly rig: Rig
  readonly agent: Agent
  readonly second: Door
  readonly #urls: readonly string[]

  constructor(rig: Rig, agent: Agent, second: Door) {
    this.rig = rig
    this.agent = agent
    this.second = second
    this.#urls = [rig.door.url, second.url]
  }

  async #note(asked: Promise<{ status: number; body: { code?: string; state?: string } }>) {
    const { status, body } = await asked
    const name = body.code ?? body.state ?? String(status)
    seen[name] = (seen[name] ?? 0) + 1
  }

  gather(): void {
    for (const frame of this.agent.frames.splice(0)) {
      if (frame.type !== 'run') continue
      if (!this.runs.some(({ batch }) => batch === frame.batch)) this.runs.push(frame)
    }
  }

  async act(what: Action): Promise<void> {
    const { agent } = this
    const door = 'twin' in what && what.twin ? this.second : this.rig.door
    if (what.do === 'dispatch') return this.rig.door.agents.dispatch.host(agent.host)
    if (what.do === 'queue') return void (await queueJob(this.rig.door, agent))
    if (what.do === 'store-fault') return this.rig.objects.failNext('put', 'after')
    if (what.do === 'sweep') return void (await door.agents.commits.sweep().catch(() => undefined))
    if (what.do === 'silence') {
      this.rig.clock.skip(17 * MINUTE)
      await agent.connect()
      await this.rig.door.agents.leases.expire()
      this.rig.clock.skip(3 * MINUTE)
      return
    }
    this.gather()
    const run = this.runs.at(-1 - what.back)
    if (run === undefined) return
    const [job] = run.jobs
    const stored = thingsOf(job!)
    const url = agent.url
    agent.url = this.#urls[what.twin ? 1 : 0]!
    try {
      if (what.do === 'lease') await this.#note(agent.lease(run))
      if (what.do === 'finish') await this.#note(agent.finish(run, job!, what.outcome))
      if (what.do === 'commit') {
        await this.#note(agent.commit(run, agent.receipt(run, job!, stored), stored.snapshot))
      }
      if (what.do === 'upload') {
        const wanted = wantedOf(stored)
        const granted = await agent.ask(run, 'grants', { wanted, stored: [] })
        for (const [n, bytes] of [...stored.packs, ...stored.indexes].entries()) {
          const grant = granted.body.grants?.[n]
          if (grant !== undefined) this.rig.objects.upload(grant.url, bytes)
        }
      }
    } finally {
      agent.url = url
    }
  }

  async check(): Promise<void> {
    const { rows } = await this.rig.door.database.read(
      `SELECT s.id, s.job, c.attempt, c.fence, j.attempt AS newest, j.fence AS newest_fence, j.state, j.outcome
       FROM snapshots s JOIN jobs j ON j.id = s.job JOIN commits c ON c.job = s.job AND c.state = 'accepted'
       WHERE s.host = ?`,
      [this.agent.host],
    )
    expect(new Set(rows.map(({ job }) => job)).size).toBe(rows.length)
    for (const row of rows) {
      expect([row.attempt, row.fence]).toEqual([row.newest, row.newest_fence])
      expect(row.state).not.toBe('queued')
    }
    const prefix = `repositories/${this.agent.repository}/snapshots/`
    const written = [...this.rig.objects.contents.keys()].filter((key) => key.startsWith(prefix))
    expect(written.sort()).toEqual(rows.map(({ id }) => `${prefix}${id}`).sort())
    const bare = await this.rig.row(
      `SELECT COUNT(*) AS n FROM jobs WHERE kind = 'backup' AND outcome IN ('succeeded', 'warning') AND snapshot IS NULL`,
    )
    expect(bare).toMatchObject({ n: 0 })
    const refused = await this.rig.row("SELECT COUNT(*) AS n FROM commits WHERE state = 'refused'")
    seen['commit refused'] = Number(refused?.n)
    seen.snapshots = (seen.snapshots ?? 0) + rows.length
  }
}

/** Random scripts; `seed` undefined takes another at each run, and a failure names it. */
export async function checkInterleavings(
  rig: Rig,
  options: { numRuns: number; seed?: number },
): Promise<void> {
  rig.expectedLogs.push(/a fault was asked for/)
  const second = await rig.openSecond({ upFor: 60 * MINUTE })
  await rig.restart({ upFor: 60 * MINUTE })
  let n = 0
  const scripts = fc.array(fc.array(action, { minLength: 1, maxLength: 4 }), {
    minLength: 8,
    maxLength: 20,
  })
  await fc.assert(
    fc.asyncProperty(scripts, async (steps) => {
      const agent = await rig.readyAgent(`web-${n++}`)
      const world = new World(rig, agent, second)
      await queueJob(rig.door, agent)
      await rig.door.agents.dispatch.host(agent.host)
      world.runs.push(await agent.frame('run'))
      // The actions of one step go out at the same time.
      for (const step of steps) await Promise.all(step.map((what) => world.act(what)))
      await Promise.all([rig.door.settled(), second.settled()])
      rig.objects.calm()
      await rig.door.agents.commits.sweep()
      await world.check()
      await agent.hangUp()
    }),
    options,
  )
  const rare = ['accepted', 'commit refused', 'fence-stale', 'snapshots']
  for (const name of rare) expect(seen[name] ?? 0, `${name} was never seen`).toBeGreaterThan(0)
}
