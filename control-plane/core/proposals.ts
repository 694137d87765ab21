// Before a prune writes anything: may so much go without a person's word?

import { HoldfastError } from '../../shared/errors.ts'
import type { ProposalRequest } from '../../shared/protocol/calls.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RetirementsStore } from '../ports/store/retirements.ts'
import { alertMessage } from './alert-message.ts'
import type { Asker, Attempts } from './attempts.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import type { Reconcile } from './reconcile.ts'

/** Part of a repository's bytes that one prune may take away by itself. */
const FREE_SHARE = 0.1

export interface ProposalsDeps extends Basics {
  readonly attempts: Attempts
  readonly retirements: RetirementsStore
  readonly hosts: Pick<HostsStore, 'nameOf'>
  readonly reconcile: Pick<Reconcile, 'snapshots'>
}

export interface ProposalDecision {
  readonly decision: 'go' | 'wait'
  readonly message?: string
}

/** What a prune may condemn without a further word, in bytes. */
export function freeBytes(ownBytes: number): number {
  return Math.floor(ownBytes * FREE_SHARE)
}

export function createProposals(deps: ProposalsDeps) {
  const { attempts, retirements, hosts, reconcile, clock } = deps

  return {
    /**
     * Judged by our own numbers: what the host says of its repository's size counts for nothing. Asked again, the
     * present answer is given.
     */
    async propose(asker: Asker, request: ProposalRequest): Promise<ProposalDecision> {
      const { job, repository, vault } = await attempts.leased(asker, request)
      const { parameters } = job
      if (parameters.kind !== 'prune') {
        throw new HoldfastError('forbidden', `a job of kind ${job.kind} proposes nothing`)
      }
      // What somebody else removed or added shows before anything is given up.
      await reconcile.snapshots(repository, vault.objects)
      const ownBytes = await retirements.packBytes(repository.id)
      const wanted = request.unreferencedBytes + request.repackBytes
      const limit = Math.max(freeBytes(ownBytes), parameters.approvedBytes ?? 0)
      const decision = wanted <= limit ? 'go' : 'wait'
      const before = await retirements.proposal(job.id, job.attempt)
      const hostname = (await hosts.nameOf(job.host)) ?? job.host
      const message = `${request.packs} packs with ${wanted} bytes would go, of ${ownBytes}; without approval up to ${limit}`
      const event = newEvent(deps, {
        actor: `host:${asker.host}`,
        action: 'prune.proposed',
        target: `repository:${repository.id}`,
        outcome: decision === 'go' ? 'ok' : 'refused',
        host: asker.host,
        job: job.id,
        details: {
          attempt: job.attempt,
          unreferencedBytes: request.unreferencedBytes,
          repackBytes: request.repackBytes,
          packs: request.packs,
          ownBytes,
          limit,
          decision,
        },
      })
      const alert =
        decision === 'go' || before?.decision === 'wait'
          ? []
          : [
              alertMessage(deps, 'prune-needs-approval', {
                hostname,
                job: job.id,
                message: `A prune of host ${hostname} waits: ${message}. If that is right (snapshots were forgotten, a source is gone), run: holdfast prune approve ${job.id}`,
              }),
            ]
      const noted = await retirements.propose(
        request,
        {
          job: job.id,
          attempt: job.attempt,
          unreferencedBytes: request.unreferencedBytes,
          repackBytes: request.repackBytes,
          packs: request.packs,
          ownBytes,
          decision,
          at: clock.now(),
        },
        { events: [event], messages: alert },
      )
      if (!noted) throw new HoldfastError('fence-stale', `attempt ${job.attempt} runs no more`)
      return decision === 'go' ? { decision } : { decision, message }
    },
  }
}
export type Proposals = ReturnType<typeof createProposals>
