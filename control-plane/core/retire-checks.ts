// May these packs go? In steps that survive a restart; then index files are removed and the packs condemned.
import type { Retirement } from '../../shared/backup/retirement.ts'
import { DAY } from '../../shared/clock.ts'
import type { ErrorCode } from '../../shared/errors.ts'
import { indexKey, repositoryPrefix } from '../../shared/vault/layout.ts'
import type { Objects } from '../ports/objects.ts'
import type { BatchesStore } from '../ports/store/batches.ts'
import type { GrantsStore, StoredObject } from '../ports/store/grants.ts'
import type { RepositoriesStore } from '../ports/store/repositories.ts'
import type { RetirementRow, RetirementsStore } from '../ports/store/retirements.ts'
import type { RunningJobsStore } from '../ports/store/running-jobs.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { objectKey } from './grants.ts'
import { inParallel, STORE_WIDTH } from './in-parallel.ts'
import { idsUnder } from './listed-ids.ts'
import type { OpenVault } from './vault-access.ts'

/** Store calls of one step; after each the database knows how far it is. */
const STEP_CALLS = 500
/** Leftovers of broken runs are spared while they are younger: a run that died may be resumed. */
const LEFTOVER_AGE = 7 * DAY
/** Things that a refusal names. */
const NAMED = 3

export interface RetireRefusal {
  readonly code: ErrorCode
  readonly message: string
}

export interface RetireChecksDeps extends Basics {
  readonly retirements: RetirementsStore
  readonly grants: Pick<GrantsStore, 'checked' | 'checkedSince' | 'known'>
  readonly batches: Pick<BatchesStore, 'find'>
  readonly jobs: Pick<RunningJobsStore, 'find'>
  readonly repositories: Pick<RepositoriesStore, 'find'>
  readonly openVault: OpenVault
}

type Claimed = RetirementRow & { readonly retirement: Retirement }

export function createRetireChecks(deps: RetireChecksDeps) {
  const { retirements, grants, batches, jobs, repositories, openVault, clock } = deps
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
      const verdict = stored === 'there' ? await judge(claimed, objects) : stored
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

  /** Everything that must hold before an index file goes. All of it is asked again after a restart. */
  async function judge(row: Claimed, objects: Objects): Promise<RetireRefusal | undefined> {
    return (
      (await judgeAmount(row)) ??
      (await judgeHeirs(row)) ??
      (await judgeIndexes(row, objects)) ??
      (await judgeSnapshots(row, objects))
    )
  }

  /** No more than was proposed and let go. */
  async function judgeAmount(row: Claimed): Promise<RetireRefusal | undefined> {
    const { condemned } = row.retirement
    if (condemned.length === 0) return undefined
    const proposal = await retirements.proposal(row.job, row.attempt)
    if (proposal?.decision !== 'go') {
      return { code: 'forbidden', message: 'this attempt was not told to go on' }
    }
    const own = new Map<string, number>()
    for (let from = 0; from < condemned.length; from += STEP_CALLS) {
      const ids = condemned.slice(from, from + STEP_CALLS).map(({ id }) => id)
      for (const { id, bytes } of await grants.known(row.repository, ids)) own.set(id, bytes)
    }
    const bytes = condemned.reduce((sum, pack) => sum + (own.get(pack.id) ?? pack.bytes), 0)
    const allowed = proposal.unreferencedBytes + proposal.repackBytes
    if (bytes <= allowed) return undefined
    return { code: 'forbidden', message: `${bytes} bytes are condemned, ${allowed} were proposed` }
  }

  /** What inherits a pack's content is there and stays. */
  async function judgeHeirs(row: Claimed): Promise<RetireRefusal | undefined> {
    const { condemned, added } = row.retirement
    const heirs = new Set(condemned.flatMap((pack) => pack.heirs))
    if (heirs.size === 0) return undefined
    const going = new Set(condemned.map(({ id }) => id))
    for (const [id] of await retirements.condemned(row.repository)) going.add(id)
    const lost = [...heirs].filter((id) => going.has(id))
    if (lost.length > 0) {
      return { code: 'invalid', message: `heirs that are condemned themselves: ${listed(lost)}` }
    }
    const stored = new Set(added.packs.map(({ id }) => id))
    const others = [...heirs].filter((id) => !stored.has(id))
    for (let from = 0; from < others.length; from += STEP_CALLS) {
      const ids = others.slice(from, from + STEP_CALLS)
      const known = await grants.known(row.repository, ids)
      for (const { id, what } of known) if (what === 'pack') stored.add(id)
    }
    const unknown = others.filter((id) => !stored.has(id))
    if (unknown.length === 0) return undefined
    return { code: 'claims-missing', message: `heirs that nobody stored: ${listed(unknown)}` }
  }

  /** A repository with snapshots is never left without an index file. */
  async function judgeIndexes(row: Claimed, objects: Objects): Promise<RetireRefusal | undefined> {
    const { replacedIndexes, added } = row.retirement
    if (replacedIndexes.length === 0 || added.indexes.length > 0) return undefined
    const replaced = new Set(replacedIndexes)
    const prefix = repositoryPrefix(row.repository)
    for await (const { id } of idsUnder(objects, `${prefix}index/`)) {
      if (!replaced.has(id)) return undefined
    }
    for await (const _ of idsUnder(objects, `${prefix}snapshots/`)) {
      return { code: 'invalid', message: 'every index file would go, and snapshots stay' }
    }
    return undefined
  }

  /**
   * No pack that a kept snapshot needs goes without heirs. What a snapshot's own run found content in, it needs,
   * whatever anybody says now. Else the host's signed word decides for the snapshots this prune walked, and for any
   * other its receipts, which may name more than it needs.
   */
  async function judgeSnapshots(
    row: Claimed,
    objects: Objects,
  ): Promise<RetireRefusal | undefined> {
    const { condemned, walked } = row.retirement
    const orphaned = condemned.filter(({ heirs }) => heirs.length === 0).map(({ id }) => id)
    if (orphaned.length === 0) return undefined
    const lost = withoutHeirs(orphaned, await retirements.condemned(row.repository))
    const needed = await retirements.neededFor(row.repository, [...lost])
    if (needed !== undefined) {
      return {
        code: 'conflict',
        message: `pack ${needed.pack} holds content of snapshot ${needed.snapshot}, which is kept`,
      }
    }
    const read = new Set(walked)
    const unread: string[] = []
    const prefix = `${repositoryPrefix(row.repository)}snapshots/`
    // The bucket decides what is kept, not the catalogue: anybody may have added one since this prune looked.
    for await (const { id } of idsUnder(objects, prefix)) if (!read.has(id)) unread.push(id)
    return judgeUnread(row.repository, unread, lost)
  }

  async function judgeUnread(
    repository: string,
    unread: readonly string[],
    lost: ReadonlySet<string>,
  ): Promise<RetireRefusal | undefined> {
    const seen = new Set<string>()
    for (let wave = unread; wave.length > 0; ) {
      const found = await retirements.refers(repository, wave)
      const told = new Set(found.filter(({ packs }) => packs !== null).map(({ id }) => id))
      const silent = wave.filter((id) => !told.has(id))
      if (silent.length > 0) {
        return {
          code: 'conflict',
          message: `snapshots this prune did not read, and nobody knows what they need: ${listed(silent)}`,
        }
      }
      const next = new Set<string>()
      for (const { id, base, packs } of found) {
        seen.add(id)
        const pack = packs?.find((one) => lost.has(one))
        if (pack !== undefined) {
          return {
            code: 'conflict',
            message: `pack ${pack} may be needed by snapshot ${id}, which this prune did not read`,
          }
        }
        if (base !== null && !seen.has(base)) next.add(base)
      }
      wave = [...next]
    }
    return undefined
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

  /** What is wrong with a retirement whatever the store holds. */
  function inItself(retirement: Retirement): RetireRefusal | undefined {
    const { condemned, unindexed, added, replacedIndexes, confirmed } = retirement
    const wrong = (message: string): RetireRefusal => ({ code: 'invalid', message })
    const going = condemned.map(({ id }) => id)
    const loose = unindexed.map(({ id }) => id)
    // A pack that waits for its deletion is in the store and in no index file: it may be both of the latter.
    for (const named of [
      [...going, ...loose],
      [...going, ...confirmed],
    ]) {
      if (new Set(named).size < named.length) return wrong('a pack is named twice')
    }
    const kept = new Set(added.packs.map(({ id }) => id))
    if ([...going, ...loose, ...confirmed].some((id) => kept.has(id)))
      return wrong('a pack that was just stored is given up')
    const replaced = new Set(replacedIndexes)
    if (replaced.size < replacedIndexes.length) return wrong('an index file is named twice')
    if (added.indexes.some(({ id }) => replaced.has(id))) {
      return wrong('an index file that was just stored is replaced')
    }
    return undefined
  }

  return { advance, inItself }
}
export type RetireChecks = ReturnType<typeof createRetireChecks>

function listed(names: readonly string[]): string {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : ''
  return `${names.slice(0, NAMED).join(', ')}${more}`
}

/** Packs whose content is nowhere once `orphaned` go: these, and earlier ones all of whose heirs are among them. */
function withoutHeirs(
  orphaned: readonly string[],
  condemned: ReadonlyMap<string, { readonly heirs: readonly string[] }>,
): Set<string> {
  const lost = new Set(orphaned)
  for (let before = -1; before < lost.size; ) {
    before = lost.size
    for (const [id, { heirs }] of condemned) {
      if (heirs.length > 0 && heirs.every((heir) => lost.has(heir))) lost.add(id)
    }
  }
  return lost
}
