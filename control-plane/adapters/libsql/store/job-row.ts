// A job's row as the running side sees it.
import { jobs } from '../schema.ts'

export const jobColumns = {
  id: jobs.id,
  kind: jobs.kind,
  host: jobs.host,
  repository: jobs.repository,
  source: jobs.source,
  policy: jobs.policy,
  policyName: jobs.policyName,
  state: jobs.state,
  attempt: jobs.attempt,
  fence: jobs.fence,
  batch: jobs.batch,
  leaseUntil: jobs.leaseUntil,
  notBefore: jobs.notBefore,
  cancelAt: jobs.cancelAt,
  parameters: jobs.parameters,
  outcome: jobs.outcome,
  reason: jobs.reason,
  message: jobs.message,
  snapshot: jobs.snapshot,
  createdAt: jobs.createdAt,
}
