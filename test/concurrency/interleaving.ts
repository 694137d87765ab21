// Two movers with backups, a prune and a restore, and the control plane's own work: in any order, with anybody dying at
// any step, frozen for long, or given up and replaced while it still runs. Nothing that was accepted may come to harm.

import { rmSync } from 'node:fs'
import { openForReading } from '../../agent/mover/reading.ts'
import type { JobEnd } from '../../agent/mover/reporter.ts'
import { runBatch } from '../../agent/mover/run-batch.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { decodeIndex, type IndexedPack } from '../../agent/repository/index-file.ts'
import { idOfKey } from '../../agent/repository/layout.ts'
import type { RepositoryReader } from '../../agent/repository/reader.ts'
import { createReader } from '../../agent/repository/reader.ts'
import { decodeSnapshot } from '../../agent/repository/snapshot.ts'
import { openUnpacked } from '../../agent/repository/unpacked.ts'
import { createMemoryStore } from '../../agent/storage/memory.ts'
import type { AssignedJob } from '../../shared/protocol/from-control.ts'
import { createSeeded, type Seeded } from '../support/seeded.ts'
import { foreignBackup } from './foreign.ts'
import { Watch } from './harm.ts'
import { began, type Ground, makeBatch, makeCache } from './host.ts'
import { fork, type Job, ModelPlane, type PlaneState, type Rules } from './model-plane.ts'
import { type Actor, type Happening, Turns } from './turns.ts'

/** A repository with a history, and which version of the volume each of its snapshots is of. */
export interface Past {
  readonly state: PlaneState
  readonly versionOf: ReadonlyMap<string, number>
  readonly indexes: Map<string, readonly IndexedPack[]>
}

/** What happened at all, over all interleavings: a proof over things that never happen proves nothing. */
export type Seen = Record<string, number>

// How likely each is beside the 60 of a mover's next step.
const planeWeight = 40
const sweepWeight = 10
const forgetWeight = 8
const deathWeight = 2
const freezeWeight = 3
/** Attempts of one job; the last is let live. */
const mostAttempts = 3

export class Interleaving {
  readonly ground: Ground
  readonly seeded: Seeded
  readonly turns: Turns
  readonly plane: ModelPlane
  readonly watch: Watch
  readonly cache: string
  readonly versionOf: Map<string, number>
  readonly seen: Seen
  readonly ends: string[] = []
  #jobs = 0
  #actors = new Map<Actor, { job: Job; again: () => void }[]>()
  /** Somebody may die, be given up, or forgotten. */
  wild = true

  constructor(ground: Ground, past: Past, seed: string, rules: Rules, seen: Seen) {
    this.ground = ground
    this.seeded = createSeeded(seed)
    this.turns = new Turns(this.seeded)
    this.plane = new ModelPlane(fork(past.state), () => this.turns.now, rules)
    this.watch = new Watch(ground.repository, this.plane.state, past.indexes)
    this.cache = makeCache(ground)
    this.versionOf = new Map(past.versionOf)
    this.seen = seen
  }

  note(what: string): void {
    this.seen[what] = (this.seen[what] ?? 0) + 1
  }

  newJob(kind: Job['kind']): Job {
    const job: Job = { id: `${kind} ${++this.#jobs}`, attempt: 1, running: true, kind }
    this.plane.jobs.set(job.id, job)
    return job
  }

  kept(): string[] {
    const { objects, snapshots } = this.plane.state
    return [...snapshots].filter((id) => objects.has(`snapshots/${id}`))
  }

  backup(): void {
    const { sources } = this.ground
    const jobs = Array.from({ length: this.seeded.between(1, 2) }, () => {
      const version = this.seeded.between(0, sources.versions.length - 1)
      const kept = this.kept()
      const parent = this.seeded.oneIn(3) || kept.length === 0 ? undefined : this.seeded.pick(kept)
      const parameters: AssignedJob['parameters'] = {
        kind: 'backup',
        source: { kind: 'volume', name: 'v' },
        time: new Date(began + this.turns.now).toISOString(),
        ...(parent === undefined ? {} : { parent }),
        tags: [],
        volatile: [],
        readAll: false,
      }
      return { job: this.newJob('backup'), parameters, version, path: sources.versions[version]! }
    })
    this.#launch(jobs)
  }

  prune(): void {
    const parameters: AssignedJob['parameters'] = {
      kind: 'prune',
      maxRepackBytes: this.seeded.oneIn(4) ? 0 : 2 ** 30,
      maxSeconds: 3_600,
      maxUnusedPercent: this.seeded.pick([0, 0, 10]),
    }
    this.#launch([{ job: this.newJob('prune'), parameters }])
  }

  /** One mover with these jobs; those whose attempt ends without a word begin again, alone. */
  #launch(
    jobs: { job: Job; parameters: AssignedJob['parameters']; version?: number; path?: string }[],
  ): void {
    const name = jobs.map(({ job }) => `${job.id}/${job.attempt}`).join('+')
    const seeded = createSeeded(this.seeded.bytes(16).toString('hex'))
    // As they are now: when the mover begins, it may have been given up already.
    const assigned = jobs.map(({ job, ...rest }) => ({ id: job.id, attempt: job.attempt, ...rest }))
    const attempts = new Map(assigned.map(({ id, attempt }) => [id, attempt]))
    const actor = this.turns.start(name, async (self) => {
      const made = makeBatch({
        cache: this.cache,
        turns: this.turns,
        actor: self,
        plane: this.plane,
        seeded,
        jobs: assigned,
        onEnd: (id, end) => this.#ended(id, attempts.get(id)!, end),
      })
      await runBatch(made.batch, made.jobs)
    })
    this.#actors.set(
      actor,
      jobs.map((one) => ({ job: one.job, again: () => this.#launch([one]) })),
    )
    for (const { job, version } of jobs)
      if (version !== undefined) this.#versions.set(job.id, version)
  }
  readonly #versions = new Map<string, number>()

  #ended(id: string, attempt: number, end: JobEnd): void {
    const job = this.plane.jobs.get(id)!
    if (job.attempt !== attempt) return
    job.running = false
    this.note(`${job.kind} ${end.outcome} ${end.reason}`)
    this.ends.push(`${id}: ${end.outcome} ${end.reason} ${end.message ?? ''}`)
    if (end.outcome === 'failed' && !tolerated.has(end.reason)) {
      throw new Error(`${id} failed: ${end.reason}, ${end.message}`)
    }
  }

  foreign(): void {
    const version = this.seeded.between(0, this.ground.sources.versions.length - 1)
    this.turns.start(`foreign ${++this.#jobs}`, async (actor) => {
      const snapshot = await foreignBackup({
        repository: this.ground.repository,
        objects: this.plane.state.objects,
        turns: this.turns,
        actor,
        seeded: createSeeded(this.seeded.bytes(16).toString('hex')),
        content: this.ground.sources.contents[version]!,
        onStored: (id) => this.versionOf.set(id, version),
      })
      this.note(snapshot === undefined ? 'foreign backup kept out' : 'foreign backup')
    })
  }

  /** Reads a snapshot through the mover's own reader, file by file. */
  restore(): void {
    const kept = this.kept()
    if (kept.length === 0) return
    const snapshot = this.seeded.pick(kept)
    const job = this.newJob('restore')
    const parameters = { kind: 'restore', snapshot } as AssignedJob['parameters']
    const seeded = createSeeded(this.seeded.bytes(16).toString('hex'))
    const actor = this.turns.start(`${job.id}`, async (self) => {
      const onEnd = () => {}
      const { cache, turns, plane } = this
      const jobs = [{ id: job.id, attempt: 1, parameters }]
      const made = makeBatch({ cache, turns, actor: self, plane, seeded, jobs, onEnd })
      const [one] = made.jobs
      try {
        const reading = await openForReading(made.batch, one!, { snapshot, signal: one!.signal })
        await this.#compare(reading.reader, reading.snapshot.tree, snapshot)
        this.note('restored')
      } catch (error) {
        // Forgotten meanwhile, or so slow that what it listed was deleted a floor later: it begins again.
        const gone = !this.kept().includes(snapshot)
        const slow = this.plane.deleted > 0
        if (!gone && !slow) throw error
        this.note(gone ? 'restore of a forgotten snapshot' : 'restore overtaken by a deletion')
      }
      job.running = false
    })
    this.#actors.set(actor, [])
  }

  async #compare(reader: RepositoryReader, tree: string, snapshot: string): Promise<void> {
    const expected = this.ground.sources.contents[this.versionOfKnown(snapshot)]!
    const [volumes] = await reader.loadTree(tree)
    const [volume] = await reader.loadTree(volumes!.subtree!)
    const found = new Map<string, Buffer>()
    const walk = async (id: string, path: string): Promise<void> => {
      for (const { name, content, subtree } of await reader.loadTree(id)) {
        const at = `${path}${name}`
        if (subtree !== undefined) await walk(subtree, `${at}/`)
        if (content === undefined) continue
        const parts: Buffer[] = []
        for await (const part of reader.loadFile(content)) parts.push(Buffer.from(part))
        found.set(at, Buffer.concat(parts))
      }
    }
    await walk(volume!.subtree!, '')
    const names = (map: ReadonlyMap<string, Buffer>) => [...map.keys()].sort().join()
    if (names(found) !== names(expected)) throw new Error(`snapshot ${snapshot}: other files`)
    for (const [name, bytes] of expected) {
      if (!found.get(name)!.equals(bytes)) throw new Error(`snapshot ${snapshot}: ${name} differs`)
    }
  }

  versionOfKnown(snapshot: string): number {
    const known = this.versionOf.get(snapshot)
    if (known !== undefined) return known
    for (const { id, snapshot: made } of this.plane.jobs.values()) {
      if (made === snapshot) return this.#versions.get(id)!
    }
    const made = this.plane.state.receipts.find((receipt) => receipt.snapshot === snapshot)
    throw new Error(`nobody made snapshot ${snapshot}: ${made?.job} ${made?.attempt}`)
  }

  happenings(): Happening[] {
    const own = this.plane.steps().map(({ what, act }) => ({ what, act, weight: planeWeight }))
    const swept: Happening = {
      what: 'plane: sweep locks',
      weight: sweepWeight,
      act: () => this.plane.sweepLocks(),
    }
    if (!this.wild) return [...own, swept]
    const kept = this.kept()
    const forget: Happening[] =
      kept.length < 2
        ? []
        : [
            {
              what: 'plane: forget',
              weight: forgetWeight,
              act: () => this.plane.forget(this.seeded.pick(kept)),
            },
          ]
    return [...own, swept, ...forget, ...this.#freezes(), ...this.#deaths()]
  }

  /** Somebody sleeps so long that its lock belongs to nobody any more, or that a floor passes. */
  #freezes(): Happening[] {
    return this.turns.living.map((actor) => ({
      what: `${actor.name} freezes`,
      weight: freezeWeight,
      act: () => {
        this.note('freeze')
        this.turns.freeze(actor, this.seeded.between(20, 200))
        this.turns.now += this.seeded.pick([31, 45, 90]) * 60_000
      },
    }))
  }

  /** A mover dies, or is given up while it goes on. Another attempt follows. */
  #deaths(): Happening[] {
    return this.turns.living.flatMap((actor) => {
      const jobs = this.#actors.get(actor) ?? []
      if (jobs.some(({ job }) => job.attempt >= mostAttempts)) return []
      const replace = () => {
        for (const { job, again } of jobs) {
          if (job.running && this.plane.giveUp(job)) again()
        }
      }
      return [
        {
          what: `${actor.name} dies`,
          weight: deathWeight,
          act: () => {
            this.turns.kill(actor)
            this.note('death')
            replace()
          },
        },
        {
          what: `${actor.name} is given up`,
          weight: deathWeight,
          act: () => {
            this.note('given up')
            replace()
          },
        },
      ]
    })
  }

  look(): void {
    const harm = this.watch.harm()
    if (harm !== undefined) throw new Error(`HARM: ${harm}`)
  }

  async run(): Promise<void> {
    await this.turns.run(
      () => this.happenings(),
      () => this.look(),
    )
    // What was claimed by somebody who died since is carried through all the same.
    for (let steps = this.plane.steps(); steps.length > 0; steps = this.plane.steps()) {
      this.seeded.pick(steps).act()
      this.look()
    }
    this.turns.now += 2 * 3_600_000
    this.plane.sweepLocks()
  }

  /** Everything that is kept, byte for byte, out of a store that holds just what the bucket does. */
  async restoreAll(): Promise<void> {
    const { repository } = this.ground
    const store = createMemoryStore()
    for (const [key, bytes] of this.plane.state.objects) store.objects.set(key, bytes)
    const index = new BlobIndex()
    for (const [key, bytes] of store.objects) {
      const id = idOfKey(key)!
      if (!key.startsWith('index/')) continue
      index.addFile(id, decodeIndex(openUnpacked(repository.masterKey, id, bytes)))
    }
    const reader = createReader({ store, repository, index })
    for (const id of this.kept()) {
      const bytes = store.objects.get(`snapshots/${id}`)!
      const { tree } = decodeSnapshot(openUnpacked(repository.masterKey, id, bytes))
      await this.#compare(reader, tree, id)
    }
  }

  close(): void {
    rmSync(this.cache, { recursive: true, force: true })
  }
}

/** What a job may fail with when others get in its way; it is then asked for again another day. */
const tolerated: ReadonlySet<string> = new Set([
  'repository-locked',
  'commit-refused',
  'retirement-refused',
  'grant-refused',
  'store-refused',
  'plane-unavailable',
  'snapshot-missing',
])
