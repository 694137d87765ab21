// A host in this process: the mover's own code over a plane and a bucket whose every call waits for its turn.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AskAnswer, AskName, AskRequest, Start } from '../../agent/ipc/messages.ts'
import type { Batch, Job as BatchJob } from '../../agent/mover/batch.ts'
import type { Hatch } from '../../agent/mover/hatch.ts'
import { createLease } from '../../agent/mover/lease.ts'
import { createLiveLimits } from '../../agent/mover/live-limits.ts'
import { createPlane } from '../../agent/mover/plane.ts'
import { createReporter, type JobEnd } from '../../agent/mover/reporter.ts'
import { createSmallCache } from '../../agent/mover/small-cache.ts'
import { sealConfig } from '../../agent/repository/config-file.ts'
import { idOf } from '../../agent/repository/id.ts'
import { encodeKeyFile, randomMasterKey } from '../../agent/repository/key-file.ts'
import type { Repository } from '../../agent/repository/repository.ts'
import { StorageError } from '../../agent/storage/object-store.ts'
import type { PresignedStore } from '../../agent/storage/presigned.ts'
import type { Clock, Random } from '../../shared/clock.ts'
import type { AssignedJob } from '../../shared/protocol/from-control.ts'
import { createSeeded, type Seeded } from '../support/seeded.ts'
import type { ModelPlane } from './model-plane.ts'
import type { Actor, Turns } from './turns.ts'

export const began = Date.parse('2026-01-02T03:04:05Z')
const polynomial = 0x3da3358b4dc173n
const password = 'a password for tests'

/** Contents that volumes are put together from: versions share most of what they hold. */
export interface Sources {
  readonly folder: string
  /** Directories, each a state of the volume. */
  readonly versions: readonly string[]
  /** By version: content by file name. */
  readonly contents: readonly ReadonlyMap<string, Buffer>[]
}

/** What is made once for all interleavings of a process. */
export interface Ground {
  readonly sources: Sources
  readonly repository: Repository
  /** To be put into every cache and bucket: opening costs next to nothing. */
  readonly config: Buffer
  readonly keyFile: Buffer
  close(): void
}

export async function makeGround(): Promise<Ground> {
  const seeded = createSeeded('ground')
  const random = (n: number) => seeded.bytes(n)
  // In memory where there is such a place: thousands of caches are made and removed.
  const memory = '/dev/shm'
  const folder = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'holdfast-concurrency-'))
  const masterKey = randomMasterKey(random)
  const id = random(32).toString('hex')
  const cost = { N: 2, r: 1, p: 1 }
  const about = { created: began, username: 'test', hostname: 'web-1', random, cost }
  const keyFile = await encodeKeyFile({ password, masterKey, ...about })
  const config = sealConfig(masterKey, { version: 2, id, polynomial }, random)
  const pool = Array.from({ length: 9 }, () => seeded.bytes(seeded.between(200, 3_000)))
  const versions: string[] = []
  const contents: Map<string, Buffer>[] = []
  for (let i = 0; i < 8; i++) {
    const path = join(folder, `version ${i}`)
    const content = new Map<string, Buffer>()
    mkdirSync(join(path, 'sub'), { recursive: true })
    for (const name of ['a', 'b', 'sub/c', 'sub/d']) {
      if (seeded.oneIn(5)) continue
      const bytes = seeded.pick(pool)
      content.set(name, bytes)
      writeFileSync(join(path, name), bytes)
    }
    versions.push(path)
    contents.push(content)
  }
  const repository = { id, version: 2 as const, masterKey, polynomial, keyId: idOf(keyFile) }
  return {
    sources: { folder, versions, contents },
    repository,
    config,
    keyFile,
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** One cache for all movers of the host, as on a real one. */
export function makeCache(ground: Ground): string {
  const cache = mkdtempSync(join(ground.sources.folder, 'cache-'))
  const name = idOf(ground.keyFile)
  mkdirSync(join(cache, 'keys'))
  writeFileSync(join(cache, 'keys', name), ground.keyFile)
  writeFileSync(join(cache, 'config'), ground.config)
  writeFileSync(join(cache, 'opened'), name)
  return cache
}

/** A batch of one attempt of each job, as the mover's main makes it, for an actor. */
export function makeBatch(options: {
  cache: string
  turns: Turns
  actor: Actor
  plane: ModelPlane
  seeded: Seeded
  jobs: readonly {
    id: string
    attempt: number
    parameters: AssignedJob['parameters']
    path?: string
  }[]
  onEnd: (job: string, end: JobEnd) => void
}): { batch: Batch; jobs: BatchJob[] } {
  const { cache, turns, actor, plane, seeded, onEnd } = options
  const clock: Clock = {
    now: () => began + turns.now,
    monotonic: () => turns.now,
    sleep: (ms, signal) => turns.sleep(actor, ms, signal),
  }
  const random: Random = { bytes: (length) => new Uint8Array(seeded.bytes(length)) }
  const gone = new AbortController()

  async function ask<N extends AskName>(
    name: N,
    body: AskRequest<N>,
    signal?: AbortSignal,
  ): Promise<AskAnswer<N>> {
    await turns.turn(actor, name, signal)
    if (name === 'commit' || name === 'retire') {
      actor.parked++
      const answer = name === 'commit' ? plane.commit(body as never) : plane.retire(body as never)
      const answered = await answer.finally(() => actor.parked--)
      await turns.turn(actor, `${name} answered`, signal)
      return answered as AskAnswer<N>
    }
    const answer = plane.answer(name, body)
    if (name === 'lock' || name === 'reconcile') await turns.turn(actor, `${name} answered`, signal)
    return answer
  }
  const hatch: Hatch = {
    ask,
    async tell(message) {
      if (message.type === 'done') onEnd(message.job, message as unknown as JobEnd)
    },
  }

  const assigned = options.jobs.map(
    ({ id, attempt, parameters }): AssignedJob => ({ id, attempt, fence: attempt, parameters }),
  )
  const jobs = assigned.map((one, i): BatchJob => {
    const path = options.jobs[i]!.path
    return {
      assigned: one,
      prepared: { job: one.id, idShift: 0, ...(path === undefined ? {} : { path }) },
      attempt: { job: one.id, attempt: one.attempt, fence: one.fence },
      signal: gone.signal,
      begunAt: () => 0,
    }
  })
  const speaker = jobs[0]!.attempt
  const store: PresignedStore = {
    async put(key, _sha256, bytes, putOptions) {
      await turns.turn(actor, `put ${key.slice(0, 12)}`, putOptions?.signal)
      if (!plane.put(speaker, key, bytes)) throw new StorageError('denied', key)
      await turns.turn(actor, 'put answered', putOptions?.signal)
    },
    async get(key, range, signal) {
      await turns.turn(actor, `get ${key.slice(0, 12)}`, signal)
      const bytes = plane.state.objects.get(key)
      if (bytes === undefined) throw new StorageError('absent', key)
      if (range === undefined) return Buffer.from(bytes)
      return Buffer.from(bytes.subarray(range.offset, range.offset + range.length))
    },
  }
  const start: Start = {
    type: 'start',
    batch: 'a batch',
    host: 'a host',
    repository: {
      id: 'a repository',
      hostname: 'web-1',
      epoch: plane.state.epoch,
      ready: true,
      foreign: false,
    },
    jobs: assigned,
    prepared: jobs.map(({ prepared }) => prepared),
    password,
    recoveryRecipient: 'nobody reads this',
    recipient: 'nobody reads this',
    paths: { cache, work: cache },
    network: {},
  } as unknown as Start
  const batch: Batch = {
    limits: createLiveLimits({}),
    start,
    plane: createPlane({ hatch, lease: createLease(), clock, random }),
    store,
    speak: () => {},
    cache: createSmallCache(cache, random),
    reporter: createReporter((message) => hatch.tell(message), clock),
    clock,
    random,
    bytes: (length) => seeded.bytes(length),
    log: () => {},
    signal: gone.signal,
    program: 'holdfast test',
  }
  return { batch, jobs }
}
