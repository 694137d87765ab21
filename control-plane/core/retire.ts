// What a prune gives up: claimed by the agent, compared with the store, then condemned by us.
import { retirementBytes } from '../../shared/backup/retirement.ts'
import { sha256Hex, utf8 } from '../../shared/bytes.ts'
import { canonicalJson, type Json } from '../../shared/canonical-json.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { RetireRequest } from '../../shared/protocol/calls.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RetirementRow, RetirementsStore } from '../ports/store/retirements.ts'
import { type Asker, type Attempts, owns } from './attempts.ts'
import type { Basics } from './deps.ts'
import { eachInTurn } from './each-in-turn.ts'
import { newEvent } from './event.ts'
import type { Defer } from './log.ts'
import type { RetireChecks } from './retire-checks.ts'
import { type RetireRefusal, wrongInItself } from './retire-judge.ts'
import { verifySignature } from './verify-signature.ts'

/** Retirements taken up in one sweep. */
const SWEEP = 50

export interface RetireDeps extends Basics {
  readonly attempts: Attempts
  readonly retirements: RetirementsStore
  readonly hosts: Pick<HostsStore, 'find'>
  readonly checks: RetireChecks
  readonly defer: Defer
}

export interface RetireState {
  readonly state: 'checking' | 'accepted' | 'refused'
  readonly code?: string
  readonly message?: string
}

/** What the agent is told: that index files are being removed is our own affair. */
function answerOf(row: Pick<RetirementRow, 'state' | 'code' | 'message'>): RetireState {
  if (row.state === 'accepted') return { state: 'accepted' }
  if (row.state !== 'refused') return { state: 'checking' }
  return {
    state: 'refused',
    ...(row.code === null ? {} : { code: row.code }),
    ...(row.message === null ? {} : { message: row.message }),
  }
}

export function createRetire(deps: RetireDeps) {
  const { attempts, retirements, hosts, checks, defer, clock } = deps

  /** If we die before it is through, the sweep takes it up again: everything it needs is in the database. */
  function kick(job: string, attempt: number): void {
    defer('compare a retirement with the store', () => checks.advance(job, attempt))
  }

  function repeat(before: RetirementRow, bodySha256: string): RetireState {
    if (before.bodySha256 !== bodySha256) {
      throw new HoldfastError(
        'already-exists',
        `attempt ${before.attempt} of this job has asked for another retirement`,
      )
    }
    if (before.state === 'checking' || before.state === 'removing') kick(before.job, before.attempt)
    return answerOf(before)
  }

  /**
   * Takes a retirement, once per attempt. The same again gets the present answer; another one for the same
   * attempt is refused with `already-exists`. Nothing is compared with the store inside this call.
   */
  async function retire(asker: Asker, request: RetireRequest): Promise<RetireState> {
    const { retirement, signature } = request
    const job = await attempts.jobOf(asker, retirement.job)
    const text = canonicalJson(retirement as unknown as Json)
    const bodySha256 = await sha256Hex(utf8(`${text}\n${signature}`))
    const before = await retirements.find(job.id, retirement.attempt)
    if (before !== undefined) return repeat(before, bodySha256)
    if (job.kind !== 'prune') {
      throw new HoldfastError('forbidden', `a job of kind ${job.kind} retires nothing`)
    }
    const host = await hosts.find(asker.host)
    if (
      host === undefined ||
      !(await verifySignature(host.publicKey, signature, retirementBytes(retirement)))
    ) {
      throw new HoldfastError('invalid', 'signature: does not fit retirement and host')
    }
    if (retirement.host !== asker.host || retirement.repository !== job.repository) {
      throw new HoldfastError('invalid', `retirement: is not about the repository of job ${job.id}`)
    }
    const refused: RetireRefusal | undefined = owns(job, asker, retirement)
      ? wrongInItself(retirement)
      : { code: 'fence-stale', message: `attempt ${retirement.attempt} runs no more` }
    const now = clock.now()
    const row: RetirementRow & { text: string } = {
      job: job.id,
      attempt: retirement.attempt,
      fence: retirement.fence,
      batch: asker.batch,
      repository: job.repository,
      state: refused === undefined ? 'checking' : 'refused',
      removed: 0,
      code: refused?.code ?? null,
      message: refused?.message ?? null,
      bodySha256,
      retirement,
      signature,
      at: now,
      endedAt: refused === undefined ? null : now,
      text,
    }
    const event = newEvent(deps, {
      actor: `host:${asker.host}`,
      action: 'prune.claimed',
      target: `repository:${job.repository}`,
      outcome: refused === undefined ? 'ok' : 'refused',
      host: asker.host,
      job: job.id,
      details: {
        attempt: retirement.attempt,
        condemned: retirement.condemned.length,
        unindexed: retirement.unindexed.length,
        confirmed: retirement.confirmed.length,
        replacedIndexes: retirement.replacedIndexes.length,
        addedPacks: retirement.added.packs.length,
        ...(refused === undefined ? {} : { code: refused.code }),
      },
    })
    if (!(await retirements.claim(row, { events: [event] }))) {
      const other = await retirements.find(job.id, retirement.attempt)
      if (other === undefined)
        throw new HoldfastError('conflict', 'the retirement changed; send it again')
      return repeat(other, bodySha256)
    }
    if (refused === undefined) kick(job.id, retirement.attempt)
    return answerOf(row)
  }

  return {
    retire,

    /** How far the retirement of an attempt is. */
    async state(asker: Asker, id: string, attempt: number): Promise<RetireState> {
      const job = await attempts.jobOf(asker, id)
      const found = await retirements.find(job.id, attempt)
      if (found === undefined) {
        throw new HoldfastError('not-found', `attempt ${attempt} of job ${id} retires nothing`)
      }
      if (found.state === 'checking' || found.state === 'removing') kick(id, attempt)
      return answerOf(found)
    },

    /** Takes up every retirement that is not through. For a timer, about every ten seconds. */
    async sweep(): Promise<number> {
      const open = await retirements.openIds(SWEEP)
      await eachInTurn(open, ({ job, attempt }) => checks.advance(job, attempt))
      return open.length
    },
  }
}
export type Retire = ReturnType<typeof createRetire>
