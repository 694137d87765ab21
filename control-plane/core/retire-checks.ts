// May these packs go? In steps that survive a restart; then index files are removed and the packs condemned.
import { DAY } from '../../shared/clock.ts'
import { indexKey, repositoryPrefix } from '../../shared/vault/layout.ts'
import type { Objects } from '../ports/objects.ts'
import type { BatchesStore } from '../ports/store/batches.ts'
import type { GrantsStore, StoredObject } from '../ports/store/grants.ts'
import type { RepositoriesStore } from '../ports/store/repositories.ts'
import type { RetirementsStore } from '../ports/store/retirements.ts'
import type { RunningJobsStore } from '../ports/store/running-jobs.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { objectKey } from './grants.ts'
import { inParallel, STORE_WIDTH } from './in-parallel.ts'
import { idsUnder } from './listed-ids.ts'
import {
  type ClaimedRetirement as Claimed,
  listed,
  type RetireJudge,
  type RetireRefusal,
} from './retire-judge.ts'
import type { OpenVault } from './vault-access.ts'

/** Store calls of one step; after each the database knows how far it is. */
const STEP_CALLS = 500
/** Up to this many claims are asked for one by one; above it the bucket is listed. */
const MAX_HEADS = 2_000
/** Leftovers of broken runs are spared while they are younger: a run that died may be resumed. */
const LEFTOVER_AGE = 7 * DAY

export interface RetireChecksDeps extends Basics {
  readonly judge: RetireJudge
  readonly retirements: RetirementsStore
  readonly grants: Pick<GrantsStore, 'checked' | 'checkedSince'>
  readonly batches: Pick<BatchesStore, 'find'>
  readonly jobs: Pick<RunningJobsStore, 'find'>
  readonly repositories: Pick<RepositoriesStore, 'find'>
  readonly openVault: OpenVault
}

export function createRetireChecks(deps: RetireChecksDeps) {
  const { judge, retirements, grants, batches, jobs, repositories, openVault, clock } = deps
  /** Under way in this process; another process may do the same, and every step bears that. */
  const underWay = new Map<string, Promise<void>>()

  /** Carries a retirement as far as it goes now. Rejects when the store does not answer; nothing is lost then. */
  function advance(job: string, attempt: number): Promise<void> {
    const name = `${job}/${attempt}`
    const running = underWay.get(name)
    if (running !== undefined) return running
    const run = through(job, attempt).finally(() => underWay.delete(name))
    underWay.set(name, run)
    return run
  }

  async function through(job: string, attempt: number): Promise<void> {
    for (;;) {
      const row = await retirements.find(job, attempt)
      if (row === undefined || row.retirement === null) return
      const claimed = { ...row, retirement: row.retirement }
      const repository = await repositories.find(row.repository)
      if (repository === undefined) return
      const { objects } = await openVault(repository.vault)
      if (claimed.state === 'removing') {
        if (await removeSome(claimed, objects)) continue
        return accept(claimed, objects)
      }
      const stored = await storedStep(claimed, objects)
      if (stored === 'more') continue
      const verdict = stored === 'there' ? await judge.judge(claimed, objects) : stored
      if (verdict !== undefined) return refuse(claimed, verdict)
      if (!(await beginRemoving(claimed))) return
    }
  }

  /** One step of at most STEP_CALLS store calls: is what this prune stored there, in its size? */
  async function storedStep(
    row: Claimed,
    objects: Objects,
  ): Promise<'more' | 'there' | RetireRefusal> {
    const { added } = row.retirement
    const claims: StoredObject[] = [
      ...added.packs.map((pack) => ({ ...pack, what: 'pack' as const, job: row.job })),
      ...added.indexes.map((index) => ({
        ...index,
        what: 'index' as const,
        type: null,
        job: row.job,
      })),
    ]
    const since = (await batches.find(row.batch))?.createdAt ?? row.at
    const seen = await grants.checkedSince(row.repository, since)
    const open = claims.filter(({ id, bytes }) => seen.get(id) !== bytes)
    if (open.length > MAX_HEADS) return byListing(row.repository, open, objects)
    const looked = await inParallel(open.slice(0, STEP_CALLS), STORE_WIDTH, async (claim) => ({
      claim,
      size: await objects.head(objectKey(row.repository, claim.what, claim.id)),
    }))
    const there = looked.filter(({ claim, size }) => size === claim.bytes)
    await grants.checked(
      row.repository,
      there.map(({ claim }) => claim),
      clock.now(),
    )
    const wrong = looked.filter(({ claim, size }) => size !== claim.bytes)
    if (wrong.length > 0) {
      const names = wrong.map(({ claim }) => `${claim.what} ${claim.id}`)
      return { code: 'claims-missing', message: `not in the store as said: ${listed(names)}` }
    }
    return open.length > looked.length ? 'more' : 'there'
  }

  /** One call for a thousand objects: for many claims cheaper than a call for each. */
  async function byListing(
    repository: string,
    open: readonly StoredObject[],
    objects: Objects,
  ): Promise<'there' | RetireRefusal> {
    const wanted = new Map(open.map((claim) => [claim.id, claim]))
    for (const folder of ['data/', 'index/']) {
      const there: StoredObject[] = []
      for await (const { id, bytes } of idsUnder(objects, repositoryPrefix(repository) + folder)) {
        const claim = wanted.get(id)
        if (claim?.bytes !== bytes) continue
        there.push(claim)
        wanted.delete(id)
      }
      await grants.checked(repository, there, clock.now())
    }
    if (wanted.size === 0) return 'there'
    const names = [...wanted.values()].map(({ what, id }) => `${what} ${id}`)
    return { code: 'claims-missing', message: `not in the store as said: ${listed(names)}` }
  }

  /** The point of no return. What was replaced is no longer needed: the new index files are there. */
  async function beginRemoving(row: Claimed): Promise<boolean> {
    const { epoch } = row.retirement
    const event = trace(row, 'prune.checked', 'ok', {
      replacedIndexes: row.retirement.replacedIndexes.length,
    })
    if (await retirements.beginRemoving(row, epoch, event)) return true
    const now = await retirements.find(row.job, row.attempt)
    if (now?.state !== 'checking') return now?.state === 'removing'
    const job = await jobs.find(row.job)
    const ours = (await repositories.find(row.repository))?.epoch ?? 0
    await refuse(
      row,
      job?.state !== 'running' || job.attempt !== row.attempt
        ? { code: 'fence-stale', message: `attempt ${row.attempt} runs no more` }
        : {
            code: 'epoch-stale',
            message: `the index was listed in epoch ${epoch}, the repository is in epoch ${ours}`,
          },
    )
    return false
  }

  /**
   * Removes the next of the replaced index files; false when none is left. If we die in between, some are removed
   * again, which is fine. A backup cannot begin meanwhile: this job stays where it is until it is accepted.
   */
  async function removeSome(row: Claimed, objects: Objects): Promise<boolean> {
    const { replacedIndexes } = row.retirement
    const some = replacedIndexes.slice(row.removed, row.removed + STEP_CALLS)
    if (some.length === 0) return false
    await inParallel(some, STORE_WIDTH, (id) => objects.remove(indexKey(row.repository, id)))
    await retirements.setRemoved(row.job, row.attempt, row.removed + some.length)
    return true
  }

  /** If we die before the change nothing is condemned, and no index file lists the packs: it is done again. */
  async function accept(row: Claimed, objects: Objects): Promise<void> {
    const unindexed = await leftovers(row, objects)
    const { condemned, confirmed, replacedIndexes, added } = row.retirement
    const bytes = condemned.reduce((sum, pack) => sum + pack.bytes, 0)
    await retirements.accept(
      row,
      unindexed,
      clock.now(),
      trace(row, 'prune.accepted', 'ok', {
        condemned: condemned.length,
        bytes,
        leftovers: unindexed.length,
        confirmed: confirmed.length,
        replacedIndexes: replacedIndexes.length,
        addedPacks: added.packs.length,
      }),
    )
  }

  /** Unindexed packs that are old enough by the store's own word, and that no open job stored. */
  async function leftovers(row: Claimed, objects: Objects) {
    const { unindexed } = row.retirement
    if (unindexed.length === 0) return []
    const wanted = new Map(unindexed.map((pack) => [pack.id, pack]))
    const old: { id: string; bytes: number }[] = []
    const folders = [...new Set(unindexed.map(({ id }) => id.slice(0, 2)))]
    const before = clock.now() - LEFTOVER_AGE
    for (const folder of folders) {
      const prefix = `${repositoryPrefix(row.repository)}data/${folder}/`
      for await (const { id, bytes, modifiedAt } of idsUnder(objects, prefix)) {
        if (wanted.has(id) && modifiedAt < before) old.push({ id, bytes })
      }
    }
    const open = await retirements.ofOpenJobs(
      row.repository,
      old.map(({ id }) => id),
    )
    // Those that wait for their deletion already go on waiting from when they began.
    const waiting = await retirements.condemned(row.repository)
    return old.filter(({ id }) => !open.has(id) && waiting.get(id)?.state !== 'condemned')
  }

  async function refuse(row: Claimed, why: RetireRefusal): Promise<void> {
    await retirements.refuse(
      row,
      { ...why, at: clock.now() },
      trace(row, 'prune.refused', 'refused', { code: why.code, why: why.message }),
    )
  }

  function trace(
    row: Claimed,
    action: string,
    outcome: 'ok' | 'refused',
    details: Record<string, string | number>,
  ) {
    const event = newEvent(deps, {
      actor: 'system',
      action,
      target: `repository:${row.repository}`,
      outcome,
      host: row.retirement.host,
      job: row.job,
      details: { attempt: row.attempt, ...details },
    })
    return { events: [event] } as const
  }

  return { advance }
}
export type RetireChecks = ReturnType<typeof createRetireChecks>
