// Is what was claimed there? In steps that survive a restart; then the snapshot is written and entered.

import type { Receipt } from '../../shared/backup/receipt.ts'
import { formatSource } from '../../shared/backup/source.ts'
import { fromBase64, utf8 } from '../../shared/bytes.ts'
import { canonicalJson, type Json } from '../../shared/canonical-json.ts'
import { formatInstant } from '../../shared/clock.ts'
import type { ErrorCode } from '../../shared/errors.ts'
import { receiptKey, repositoryPrefix, smallKey } from '../../shared/vault/layout.ts'
import type { Objects } from '../ports/objects.ts'
import type { AlarmsStore } from '../ports/store/alarms.ts'
import type { BatchesStore } from '../ports/store/batches.ts'
import type { Commit, CommitsStore } from '../ports/store/commits.ts'
import type { GrantsStore, StoredObject } from '../ports/store/grants.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RepositoriesStore } from '../ports/store/repositories.ts'
import type { RunningJobsStore } from '../ports/store/running-jobs.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { objectKey } from './grants.ts'
import { inParallel, STORE_WIDTH } from './in-parallel.ts'
import { outcomeOf } from './job-end.ts'
import { conflictTrace } from './store-view.ts'
import type { OpenVault } from './vault-access.ts'

/** Store calls of one step; after each the database knows how far it is. */
const STEP_CALLS = 500
/** Up to this many claims are asked for one by one; above it the bucket is listed. */
const MAX_HEADS = 2_000
/** Objects of one page of a listing. */
const PAGE = 1_000
/** Missing objects that a refusal names. */
const NAMED = 3
/** Receipts may lie under numbers we think free only after a restore of an older database. */
const MAX_RENUMBER = 1_000
/** Parts of a repository that are listed, in this order. */
const LISTED = ['data/', 'index/'] as const
const LISTED_ALL = 'done'

export interface CommitChecksDeps extends Basics {
  readonly commits: CommitsStore
  readonly grants: Pick<GrantsStore, 'checked' | 'checkedSince'>
  readonly batches: Pick<BatchesStore, 'find'>
  readonly jobs: Pick<RunningJobsStore, 'find'>
  readonly hosts: Pick<HostsStore, 'find'>
  readonly repositories: Pick<RepositoriesStore, 'find'>
  readonly alarms: AlarmsStore
  readonly openVault: OpenVault
}

interface Refusal {
  readonly code: ErrorCode
  readonly message: string
}

type Claimed = Commit & { readonly receipt: Receipt; readonly bytes: string }

export function createCommitChecks(deps: CommitChecksDeps) {
  const { commits, grants, batches, jobs, hosts, repositories, alarms, openVault, clock } = deps
  /** Under way in this process; another process may do the same, and every step bears that. */
  const underWay = new Map<string, Promise<void>>()

  function epochStale(theirs: number, ours: number): Refusal {
    return {
      code: 'epoch-stale',
      message: `the index was listed in epoch ${theirs}, the repository is in epoch ${ours}`,
    }
  }

  /** Carries a claim as far as it goes now. Rejects when the store does not answer; nothing is lost then. */
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
      const commit = await commits.find(job, attempt)
      if (commit === undefined || commit.receipt === null || commit.bytes === null) return
      const claimed = { ...commit, receipt: commit.receipt, bytes: commit.bytes }
      const repository = await repositories.find(commit.repository)
      if (repository === undefined) return
      const { objects } = await openVault(repository.vault)
      if (claimed.state === 'writing') return write(claimed, objects)
      const verdict = await step(claimed, objects)
      if (verdict === 'more') continue
      if (verdict !== 'there') return refuse(claimed, verdict)
      const condemned = await givenUp(claimed)
      if (condemned !== undefined) return refuse(claimed, condemned)
      if (!(await beginWriting(claimed))) return
    }
  }

  /**
   * A pack that a prune gave up is no ground for a snapshot. One that is condemned after this look has raised the
   * epoch, which the next change sees.
   */
  async function givenUp({ receipt, repository }: Claimed): Promise<Refusal | undefined> {
    const needed = [...receipt.packs.map(({ id }) => id), ...receipt.refers.packs]
    const pack = await commits.condemnedAmong(repository, needed)
    if (pack === undefined) return undefined
    return { code: 'claims-missing', message: `pack ${pack} was given up by a prune` }
  }

  /** One step of at most STEP_CALLS store calls. What was seen is noted before the next begins. */
  async function step(commit: Claimed, objects: Objects): Promise<'more' | 'there' | Refusal> {
    const { receipt, repository } = commit
    const claims: StoredObject[] = [
      ...receipt.packs.map(({ id, bytes, type }) => ({ id, bytes, type, what: 'pack' as const })),
      ...receipt.indexes.map((index) => ({ ...index, type: null, what: 'index' as const })),
    ].map((claim) => ({ ...claim, job: commit.job }))
    // What was seen since this mover's lock need not be looked at again; nothing older counts.
    const since = (await batches.find(commit.batch))?.createdAt ?? commit.at
    const seen = await grants.checkedSince(repository, since)
    const open = claims.filter(({ id, bytes }) => seen.get(id) !== bytes)
    if (open.length === 0) return 'there'
    if (open.length > MAX_HEADS && commit.listingCursor !== LISTED_ALL) {
      await list(commit, objects, open)
      return 'more'
    }
    if (open.length > MAX_HEADS) return missing(open)
    const looked = await inParallel(open.slice(0, STEP_CALLS), STORE_WIDTH, async (claim) => ({
      claim,
      size: await objects.head(objectKey(repository, claim.what, claim.id)),
    }))
    const wrong = looked.find(({ claim, size }) => size !== undefined && size !== claim.bytes)
    if (wrong !== undefined) return differs(commit, wrong.claim, wrong.size!)
    const there = looked.filter(({ size }) => size !== undefined).map(({ claim }) => claim)
    await grants.checked(repository, there, clock.now())
    if (there.length < looked.length) {
      return missing(looked.filter(({ size }) => size === undefined).map(({ claim }) => claim))
    }
    return open.length > looked.length ? 'more' : 'there'
  }

  /** Lists on from the cursor, noting every claim that is there in its right size. */
  async function list(commit: Claimed, objects: Objects, open: StoredObject[]): Promise<void> {
    const wanted = new Map(open.map((claim) => [claim.id, claim]))
    let [part, cursor] = splitCursor(commit.listingCursor)
    for (let calls = 0; calls < STEP_CALLS && part < LISTED.length; calls++) {
      const page = await objects.list(repositoryPrefix(commit.repository) + LISTED[part], {
        limit: PAGE,
        ...(cursor === '' ? {} : { cursor }),
      })
      const found = page.objects.flatMap(({ key, bytes }) => {
        const claim = wanted.get(key.slice(key.lastIndexOf('/') + 1))
        return claim !== undefined && claim.bytes === bytes ? [claim] : []
      })
      await grants.checked(commit.repository, found, clock.now())
      cursor = page.next ?? ''
      if (page.next === undefined) part++
    }
    const next = part === LISTED.length ? LISTED_ALL : `${part}:${cursor}`
    await commits.setListingCursor(commit, next)
  }

  function missing(claims: StoredObject[]): Refusal {
    const names = claims.slice(0, NAMED).map(({ what, id }) => `${what} ${id}`)
    const more = claims.length > NAMED ? ` and ${claims.length - NAMED} more` : ''
    return {
      code: 'claims-missing',
      message: `not in the store: ${names.join(', ')}${more}`,
    }
  }

  async function differs(commit: Claimed, claim: StoredObject, size: number): Promise<Refusal> {
    const key = objectKey(commit.repository, claim.what, claim.id)
    await alarm(commit, key, `${size} bytes instead of ${claim.bytes}`)
    return {
      code: 'exists',
      message: `${claim.what} ${claim.id} has ${size} bytes in the store, not ${claim.bytes}`,
    }
  }

  async function alarm(commit: Claimed, key: string, saw: string): Promise<void> {
    const host = commit.receipt.host
    const hostname = (await hosts.find(host))?.name ?? host
    await alarms.raise(conflictTrace(deps, { host, hostname, job: commit.job, key, saw }))
  }

  /** The point of no return. From here on only acceptance can follow, whatever dies in between. */
  async function beginWriting(commit: Claimed): Promise<boolean> {
    const event = trace(commit, 'snapshot.checked', 'ok', {
      packs: commit.receipt.packs.length,
      indexes: commit.receipt.indexes.length,
    })
    if (await commits.beginWriting(commit, commit.receipt.epoch, event)) return true
    const now = await commits.find(commit.job, commit.attempt)
    if (now?.state !== 'checking') return now?.state === 'writing'
    const job = await jobs.find(commit.job)
    const epoch = (await repositories.find(commit.repository))?.epoch ?? 0
    const newer = job !== undefined && job.attempt > commit.attempt
    const why: Refusal = newer
      ? { code: 'fence-stale', message: `attempt ${job.attempt} was started meanwhile` }
      : job?.state !== 'running'
        ? { code: 'lease-lapsed', message: 'the attempt ended before its claim was checked' }
        : epoch !== commit.receipt.epoch
          ? epochStale(commit.receipt.epoch, epoch)
          : { code: 'exists', message: 'the snapshot belongs to another job' }
    await refuse(commit, why)
    return false
  }

  /**
   * Writes receipt and snapshot, then enters the snapshot. Dying before the last change leaves the commit in
   * `writing`, and the objects, if there: writing the same bytes again succeeds, and the change follows. The
   * job cannot be given to another attempt in the meantime, so no second snapshot of it can come about.
   */
  async function write(commit: Claimed, objects: Objects): Promise<void> {
    const numbered = await writeReceipt(commit, objects)
    if (numbered === undefined) return
    const key = smallKey(commit.repository, 'snapshot', commit.snapshot)
    if ((await objects.put(key, fromBase64(commit.bytes))) === 'exists') {
      await alarm(commit, key, 'other bytes than those of the snapshot')
      return refuse(commit, { code: 'exists', message: `the vault holds other bytes under ${key}` })
    }
    const { receipt } = commit
    const job = await jobs.find(commit.job)
    await commits.accept(
      numbered,
      {
        host: receipt.host,
        source: formatSource(receipt.source),
        outcome: outcomeOf(receipt.counts).outcome,
        policyName: job?.policyName ?? null,
        receivedAt: clock.now(),
      },
      trace(commit, 'snapshot.accepted', 'ok', {
        source: formatSource(receipt.source),
        tree: receipt.tree,
        files: receipt.counts.files,
        bytes: receipt.counts.bytes,
        receipt: numbered.sequence,
      }),
    )
  }

  /** The signed receipt in the vault: from these the catalogue can be made again. */
  async function writeReceipt(commit: Claimed, objects: Objects): Promise<Claimed | undefined> {
    const text = canonicalJson({
      receipt: commit.receipt as unknown as Json,
      signature: commit.signature,
      claimedAt: formatInstant(commit.at),
    })
    let current = commit
    for (let tried = 0; tried < MAX_RENUMBER; tried++) {
      const key = receiptKey(commit.repository, current.sequence ?? 0)
      if ((await objects.put(key, utf8(`${text}\n`))) === 'stored') return current
      // The number is taken: this database was restored from an older copy. The next one may be free.
      const event = trace(commit, 'receipt.renumbered', 'ok', { taken: current.sequence })
      await commits.renumber(current, event)
      const again = await commits.find(commit.job, commit.attempt)
      if (again?.state !== 'writing' || again.receipt === null || again.bytes === null) return
      current = { ...again, receipt: again.receipt, bytes: again.bytes }
    }
    return undefined
  }

  async function refuse(commit: Claimed, why: Refusal): Promise<void> {
    await commits.refuse(
      commit,
      { ...why, at: clock.now() },
      trace(commit, 'snapshot.refused', 'refused', { code: why.code, why: why.message }),
    )
  }

  function trace(
    commit: Claimed,
    action: string,
    outcome: 'ok' | 'refused',
    details: Record<string, string | number | null>,
  ) {
    const event = newEvent(deps, {
      actor: 'system',
      action,
      target: `snapshot:${commit.snapshot}`,
      outcome,
      host: commit.receipt.host,
      job: commit.job,
      details: { attempt: commit.attempt, repository: commit.repository, ...details },
    })
    return { events: [event] } as const
  }

  return { advance, epochStale }
}
export type CommitChecks = ReturnType<typeof createCommitChecks>

function splitCursor(text: string | null): [number, string] {
  if (text === null) return [0, '']
  const colon = text.indexOf(':')
  return [Number(text.slice(0, colon)), text.slice(colon + 1)]
}
