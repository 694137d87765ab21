// A snapshot comes into being: claimed by the agent, compared with the store, written by us, entered.

import type { Receipt } from '../../shared/backup/receipt.ts'
import { receiptBytes } from '../../shared/backup/receipt.ts'
import { formatSource } from '../../shared/backup/source.ts'
import { fromBase64, sha256Hex, utf8 } from '../../shared/bytes.ts'
import { canonicalJson, type Json } from '../../shared/canonical-json.ts'
import { type ErrorCode, HoldfastError } from '../../shared/errors.ts'
import type { CommitRequest } from '../../shared/protocol/calls.ts'
import type { Commit, CommitsStore } from '../ports/store/commits.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RepositoriesStore } from '../ports/store/repositories.ts'
import type { RunningJob } from '../ports/store/running-jobs.ts'
import type { Asker, Attempts } from './attempts.ts'
import type { CommitChecks } from './commit-checks.ts'
import type { Basics } from './deps.ts'
import { eachInTurn } from './each-in-turn.ts'
import { newEvent } from './event.ts'
import type { Defer } from './log.ts'
import { verifySignature } from './verify-signature.ts'

/** Claims taken up in one sweep. */
const SWEEP = 50
/** Refusals after which the same attempt may come again with another claim: it listed the index anew, or stored more. */
const MENDABLE: ReadonlySet<ErrorCode> = new Set(['epoch-stale', 'claims-missing'])

export interface CommitDeps extends Basics {
  readonly attempts: Attempts
  readonly commits: CommitsStore
  readonly hosts: Pick<HostsStore, 'find'>
  readonly repositories: Pick<RepositoriesStore, 'find'>
  readonly checks: CommitChecks
  readonly defer: Defer
}

export interface CommitAnswer {
  readonly state: 'checking' | 'accepted' | 'refused'
  readonly code?: string
  readonly message?: string
}

/** What the agent is told: that we are writing is our own affair. */
function answerOf(commit: Pick<Commit, 'state' | 'code' | 'message'>): CommitAnswer {
  if (commit.state === 'accepted') return { state: 'accepted' }
  if (commit.state !== 'refused') return { state: 'checking' }
  return {
    state: 'refused',
    ...(commit.code === null ? {} : { code: commit.code }),
    ...(commit.message === null ? {} : { message: commit.message }),
  }
}

export function createCommits(deps: CommitDeps) {
  const { attempts, commits, hosts, repositories, checks, defer, clock } = deps

  /** Every field the receipt shares with the job must be the job's. Throws `invalid` naming the field. */
  function compare(asker: Asker, job: RunningJob, receipt: Receipt, source: string): void {
    const expected: [string, unknown, unknown][] = [
      ['host', receipt.host, asker.host],
      ['repository', receipt.repository, job.repository],
      ['source', source, job.source],
      [
        'time',
        Date.parse(receipt.time),
        job.parameters.kind === 'backup' ? Date.parse(job.parameters.time) : undefined,
      ],
    ]
    for (const [field, theirs, ours] of expected) {
      if (theirs !== ours) {
        throw new HoldfastError('invalid', `receipt.${field}: is not that of job ${job.id}`)
      }
    }
  }

  async function verify(asker: Asker, request: CommitRequest): Promise<void> {
    const { receipt, signature } = request
    const host = await hosts.find(asker.host)
    const bytes = fromBase64(request.bytes)
    if (
      host === undefined ||
      !(await verifySignature(host.publicKey, signature, receiptBytes(receipt)))
    ) {
      throw new HoldfastError('invalid', 'signature: does not fit receipt and host')
    }
    if (bytes.length !== receipt.snapshotBytes || (await sha256Hex(bytes)) !== receipt.snapshot) {
      throw new HoldfastError('invalid', 'bytes: are not those the receipt names')
    }
  }

  /** Why this claim cannot be right any more, before the store is asked anything. */
  async function refusal(
    asker: Asker,
    job: RunningJob,
    receipt: Receipt,
  ): Promise<{ code: ErrorCode; message: string } | undefined> {
    const newer = job.attempt > receipt.attempt || job.fence > receipt.fence
    if (newer || (job.state === 'running' && job.batch !== asker.batch)) {
      return {
        code: 'fence-stale',
        message: `attempt ${receipt.attempt} was given up and attempt ${job.attempt} started`,
      }
    }
    if (job.state !== 'running') {
      return { code: 'lease-lapsed', message: 'the attempt was given up before it committed' }
    }
    if (job.attempt !== receipt.attempt || job.fence !== receipt.fence) {
      return { code: 'fence-stale', message: 'no such attempt was ever started' }
    }
    const epoch = (await repositories.find(job.repository))?.epoch ?? 0
    if (receipt.epoch !== epoch) return checks.epochStale(receipt.epoch, epoch)
    return undefined
  }

  /**
   * Takes a claim, one at a time per attempt. The same claim again gets the present answer. Another one takes the
   * place of one that was refused as `epoch-stale` or `claims-missing`, and is refused with `already-exists` while
   * the first is under way or after any other end of it. Nothing is compared with the store inside this call.
   */
  async function commit(asker: Asker, request: CommitRequest): Promise<CommitAnswer> {
    const { receipt } = request
    const job = await attempts.jobOf(asker, receipt.job)
    const receiptText = canonicalJson(receipt as unknown as Json)
    const bodySha256 = await sha256Hex(
      utf8(`${receiptText}\n${request.signature}\n${request.bytes}`),
    )
    const before = await commits.find(receipt.job, receipt.attempt)
    if (before !== undefined && !mayFollow(before, bodySha256)) return repeat(before, bodySha256)
    if (job.kind !== 'backup') {
      throw new HoldfastError('forbidden', `a job of kind ${job.kind} commits no snapshot`)
    }
    await verify(asker, request)
    const source = formatSource(receipt.source)
    const refused = await refusal(asker, job, receipt)
    if (refused === undefined) {
      compare(asker, job, receipt, source)
      if (await commits.snapshotTaken(receipt.snapshot, job.id)) {
        throw new HoldfastError('invalid', 'receipt.snapshot: belongs to another job')
      }
    }
    const claimed = {
      job: job.id,
      attempt: receipt.attempt,
      fence: receipt.fence,
      batch: asker.batch,
      repository: job.repository,
      state: refused === undefined ? ('checking' as const) : ('refused' as const),
      code: refused?.code ?? null,
      message: refused?.message ?? null,
      snapshot: receipt.snapshot,
      bodySha256,
      receipt: refused === undefined ? receipt : null,
      receiptText,
      signature: request.signature,
      bytes: refused === undefined ? request.bytes : null,
      sequence: null,
      listingCursor: null,
      at: clock.now(),
    }
    const event = newEvent(deps, {
      actor: `host:${asker.host}`,
      action: 'snapshot.claimed',
      target: `snapshot:${receipt.snapshot}`,
      outcome: refused === undefined ? 'ok' : 'refused',
      host: asker.host,
      job: job.id,
      details: {
        attempt: receipt.attempt,
        source,
        packs: receipt.packs.length,
        indexes: receipt.indexes.length,
        ...(refused === undefined ? {} : { code: refused.code }),
      },
    })
    if (!(await commits.claim(claimed, before?.bodySha256, { events: [event] }))) {
      const other = await commits.find(job.id, receipt.attempt)
      if (other === undefined)
        throw new HoldfastError('conflict', 'the claim changed; send it again')
      return repeat(other, bodySha256)
    }
    if (refused === undefined) kick(job.id, receipt.attempt)
    return answerOf(claimed)
  }

  /** Nothing of a refused claim was written, so another in its place leaves one snapshot per job all the same. */
  function mayFollow(before: Commit, bodySha256: string): boolean {
    const mendable = before.state === 'refused' && before.code !== null && MENDABLE.has(before.code)
    return mendable && before.bodySha256 !== bodySha256
  }

  function repeat(before: Commit, bodySha256: string): CommitAnswer {
    if (before.bodySha256 !== bodySha256) {
      throw new HoldfastError(
        'already-exists',
        `attempt ${before.attempt} of this job has claimed another snapshot`,
      )
    }
    if (before.state === 'checking' || before.state === 'writing') kick(before.job, before.attempt)
    return answerOf(before)
  }

  /** If we die before it is through, the sweep takes it up again: everything it needs is in the database. */
  function kick(job: string, attempt: number): void {
    defer('compare a commit with the store', () => checks.advance(job, attempt))
  }

  return {
    commit,

    /** How far the claim of an attempt is. */
    async state(asker: Asker, id: string, attempt: number): Promise<CommitAnswer> {
      const job = await attempts.jobOf(asker, id)
      const found = await commits.find(job.id, attempt)
      if (found === undefined) {
        throw new HoldfastError('not-found', `attempt ${attempt} of job ${id} has claimed nothing`)
      }
      if (found.state === 'checking' || found.state === 'writing') kick(id, attempt)
      return answerOf(found)
    },

    /** Takes up every claim that is not through. For a timer, about every ten seconds. */
    async sweep(): Promise<number> {
      const open = await commits.openIds(SWEEP)
      await eachInTurn(open, ({ job, attempt }) => checks.advance(job, attempt))
      return open.length
    },
  }
}
export type Commits = ReturnType<typeof createCommits>
