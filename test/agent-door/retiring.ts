// What tests of prunes share: backups that are there, a prune that runs, a retirement that is signed.
import { sign } from 'node:crypto'
import { expect } from 'vitest'
import type { ParametersOf } from '../../shared/backup/job.ts'
import { type Retirement, retirementBytes } from '../../shared/backup/retirement.ts'
import type { AssignedJob, Run } from '../../shared/protocol/from-control.ts'
import { type Agent, type Answer, attemptOf, type StoredThings, sha256 } from './agent.ts'
import type { Rig, StartedJob } from './rig.ts'

export const PRUNE: ParametersOf<'prune'> = {
  kind: 'prune',
  maxRepackBytes: 1_000_000,
  maxSeconds: 3_600,
  maxUnusedPercent: 5,
  // Repositories of tests are small: a tenth of them is nothing.
  approvedBytes: 1_000_000,
}

export interface Backup {
  readonly snapshot: string
  readonly packs: readonly string[]
  readonly indexes: readonly string[]
  readonly stored: StoredThings
}

/** A backup that is through, of a source of its own. */
export async function backedUp(rig: Rig, agent: Agent, source = 'volume:data'): Promise<Backup> {
  const { run, job } = await rig.started(agent, { source })
  const { answer, receipt, stored } = await agent.backup(run, job, (grant, bytes) => {
    expect(rig.objects.upload(grant.url, bytes)).toBe(200)
  })
  expect(answer.body).toEqual({ state: 'accepted' })
  await agent.finish(run, job)
  await rig.door.settled()
  return {
    snapshot: receipt.snapshot,
    packs: receipt.packs.map(({ id }) => id),
    indexes: receipt.indexes.map(({ id }) => id),
    stored,
  }
}

/** A prune that runs. */
export async function pruning(
  rig: Rig,
  agent: Agent,
  more: Partial<ParametersOf<'prune'>> = {},
): Promise<StartedJob> {
  const parameters = { ...PRUNE, ...more }
  return rig.started(agent, { kind: 'prune', source: 'volume:none', parameters })
}

export function propose(agent: Agent, run: Run, bytes: number): Promise<Answer> {
  return agent.ask(run, 'proposal', {
    unreferencedBytes: bytes,
    repackBytes: 0,
    repositoryBytes: 1,
    packs: 1,
  })
}

export function retirementOf(
  agent: Agent,
  run: Run,
  job: AssignedJob,
  more: Partial<Retirement>,
): Retirement {
  return {
    v: 1,
    host: agent.host,
    repository: agent.repository,
    ...attemptOf(job),
    epoch: run.repository.epoch,
    added: { packs: [], indexes: [] },
    replacedIndexes: [],
    condemned: [],
    unindexed: [],
    confirmed: [],
    ...more,
  }
}

export function retire(agent: Agent, run: Run, retirement: Retirement): Promise<Answer> {
  const signature = sign(null, retirementBytes(retirement), agent.key.privateKey).toString('hex')
  return agent.call(`batches/${run.batch}/retire`, { retirement, signature })
}

/** Repeats the question until the answer is final. */
export async function retireThrough(
  agent: Agent,
  run: Run,
  retirement: Retirement,
): Promise<Answer> {
  for (let tried = 0; tried < 200; tried++) {
    const answer = await retire(agent, run, retirement)
    if (answer.body.state !== 'checking') return answer
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('the retirement is checked for ever')
}

/** Something a prune stored: by a grant, as a mover would. */
export async function stored(
  rig: Rig,
  agent: Agent,
  { run, job }: StartedJob,
  what: 'pack' | 'index',
  text: string,
): Promise<{ id: string; bytes: number }> {
  const bytes = Buffer.from(text.padEnd(120, '.'))
  const id = sha256(bytes)
  const type = what === 'pack' ? { type: 'data' } : {}
  const wanted = [{ method: 'PUT', what, id, bytes: bytes.length, ...type }]
  const granted = await agent.ask(run, 'grants', { wanted, stored: [] }, job)
  expect(rig.objects.upload(granted.body.grants[0].url, bytes)).toBe(200)
  return { id, bytes: bytes.length }
}

/** Bytes of packs and index files: as the catalogue has them, and as they lie in the vault. */
export async function bytesKnown(rig: Rig): Promise<number> {
  return Number((await rig.row('SELECT COALESCE(SUM(bytes), 0) AS n FROM objects'))?.n)
}
export function bytesThere(rig: Rig): number {
  return [...rig.objects.contents]
    .filter(([key]) => /\/(?:data|index)\//.test(key))
    .reduce((sum, [, bytes]) => sum + bytes.length, 0)
}
