import { createRoute, z } from '@hono/zod-openapi'
import { packSubsets } from '../../shared/backup/data-subset.ts'
import {
  ageRecipient,
  jobCounts,
  jobKind,
  jobState,
  progress,
  rawPath,
  restoreTarget,
} from '../../shared/backup/job.ts'
import { outcome, reason } from '../../shared/backup/outcome.ts'
import { SECOND } from '../../shared/clock.ts'
import { base64Of, id } from '../../shared/ids.ts'
import type { JobListing } from '../core/job-listing.ts'
import type { JobRequests } from '../core/job-requests.ts'
import { createRoutes } from './room.ts'
import {
  at,
  atOrNull,
  body,
  DEFAULT_PAGE,
  json,
  limitQuery,
  nextCursor,
  numberQuery,
  problems,
  time,
  timeQuery,
} from './shapes.ts'

/** Longest a request waits for news, in seconds: below every proxy's idle limit. */
const MAX_WAIT_SECONDS = 25

const job = z.object({
  id: z.string(),
  kind: jobKind,
  host: z.string(),
  hostName: z.string(),
  source: z.string().nullable(),
  policy: z.string().nullable().describe('Name of the policy it runs for'),
  slotAt: time.nullable().describe('The slot of the schedule it was made for'),
  state: jobState,
  attempt: z.int(),
  cancelRequested: z.boolean(),
  progress: progress.nullable(),
  outcome: outcome.nullable(),
  reason: reason.nullable(),
  message: z.string().nullable(),
  counts: jobCounts.nullable(),
  hasReport: z.boolean().describe('Names of the files concerned, sealed to the recovery recipient'),
  snapshot: z.string().nullable().describe('The snapshot it made'),
  requestedBy: z.string(),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
})
const watchedJob = job.extend({
  version: z.string().describe('Give it back as `version` to wait for the next change'),
})

const snapshot = z
  .string()
  .regex(/^[0-9a-f]{8,64}$/, 'must be a snapshot id, or at least its first 8 digits')
const host = z.string().max(255).describe('Id or name')
const params = z.object({ id })
const wait = numberQuery(0, MAX_WAIT_SECONDS).optional().describe('Seconds to wait for news')

const backup = createRoute({
  method: 'post',
  path: '/jobs/backup',
  summary: 'Back up sources of a host, or what a policy covers',
  request: {
    body: body(
      z.strictObject({
        host: host.optional(),
        sources: z.array(z.string().max(4_200)).min(1).max(1_000).optional(),
        policy: z.string().max(64).optional(),
        readAll: z.boolean().default(false).describe('Read every file again'),
      }),
    ),
  },
  responses: {
    ...problems,
    202: json(
      z.object({
        items: z.array(
          job.extend({ created: z.boolean().describe('False: the same run was waiting already') }),
        ),
      }),
      'The jobs',
    ),
  },
})
const restore = createRoute({
  method: 'post',
  path: '/jobs/restore',
  summary: 'Restore a snapshot, whole or by path',
  request: {
    body: body(
      z.strictObject({
        snapshot,
        host: host.optional().describe("Another host than the snapshot's own (admin)"),
        target: restoreTarget,
        paths: z.array(rawPath).max(1_000).default([]),
        sealedPassword: base64Of(8_192)
          .optional()
          .describe('For another host: the recovery password, sealed with age to its recipient'),
      }),
    ),
  },
  responses: { ...problems, 202: json(job, 'The job') },
})
const browse = createRoute({
  method: 'post',
  path: '/jobs/browse',
  summary: 'List or read what a snapshot holds, sealed to whoever asks',
  request: {
    body: body(
      z.strictObject({
        snapshot,
        path: rawPath.default(''),
        what: z.enum(['list', 'tree', 'file']),
        recipient: ageRecipient,
      }),
    ),
  },
  responses: { ...problems, 202: json(job, 'The job; its answer comes as pages') },
})
const verify = createRoute({
  method: 'post',
  path: '/jobs/verify',
  summary: "Check a host's repository",
  request: {
    body: body(
      z.strictObject({
        host,
        readData: z
          .union([
            z.boolean(),
            ...packSubsets,
            z.strictObject({ snapshot: z.union([snapshot, z.literal('random')]) }),
          ])
          .default(false)
          .describe(
            'False: the structure alone. True: every pack is read too; or part n of t, a random share, random packs of so many bytes, all that a snapshot needs',
          ),
      }),
    ),
  },
  responses: { ...problems, 202: json(job, 'The job') },
})
const adopt = createRoute({
  method: 'post',
  path: '/jobs/adopt',
  summary: "Make an existing restic repository a host's own, without copying",
  request: {
    body: body(
      z.strictObject({
        host: host.describe('Id or name; it must have no backups'),
        vault: z.string().max(255).describe('Id or name of the vault'),
        prefix: z
          .string()
          .max(2_100)
          .describe('Its path from the root of the bucket, or from the folder of a disk vault'),
        sealedPassword: base64Of(8_192).describe(
          "One of its passwords, sealed with age to the host's recipient",
        ),
      }),
    ),
  },
  responses: { ...problems, 202: json(job, 'The job') },
})
const list = createRoute({
  method: 'get',
  path: '/jobs',
  summary: 'Jobs',
  request: {
    query: z.object({
      host: host.optional(),
      source: z.string().max(4_200).optional(),
      policy: z.string().max(64).optional(),
      kind: jobKind.optional(),
      state: jobState.optional(),
      outcome: outcome.optional(),
      since: timeQuery.optional(),
      until: timeQuery.optional(),
      cursor: id.optional(),
      limit: limitQuery.optional(),
    }),
  },
  responses: {
    ...problems,
    200: json(z.object({ items: z.array(job), next: nextCursor }), 'Newest first'),
  },
})
const show = createRoute({
  method: 'get',
  path: '/jobs/{id}',
  summary: 'One job; with `version` it waits until something about it changes',
  request: { params, query: z.object({ version: z.string().max(64).optional(), wait }) },
  responses: { ...problems, 200: json(watchedJob, 'The job') },
})
const cancel = createRoute({
  method: 'post',
  path: '/jobs/{id}/cancel',
  summary: 'Stop a job: a waiting one ends at once, a running one is told',
  request: { params },
  responses: { ...problems, 202: json(job, 'The job') },
})
const report = createRoute({
  method: 'get',
  path: '/jobs/{id}/report',
  summary: 'The sealed report of a job',
  request: { params },
  responses: {
    ...problems,
    200: json(z.object({ sealed: z.string().describe('age ciphertext, base64') }), 'The report'),
  },
})
const page = createRoute({
  method: 'get',
  path: '/jobs/{id}/pages/{page}',
  summary: 'One sealed page of a browse job, waiting for it if need be; kept for a day',
  request: {
    params: z.object({ id, page: numberQuery(0, 1_000_000) }),
    query: z.object({ wait }),
  },
  responses: {
    ...problems,
    200: json(
      z.object({
        page: z.int(),
        last: z.boolean(),
        sealed: z.string().describe('age ciphertext, base64'),
      }),
      'The page',
    ),
  },
})

export function createJobRoutes(deps: { jobRequests: JobRequests; jobListing: JobListing }) {
  const { jobRequests, jobListing } = deps
  const shown = (one: Awaited<ReturnType<JobRequests['get']>>) => ({
    id: one.id,
    kind: one.kind,
    host: one.host,
    hostName: one.hostName,
    source: one.source,
    policy: one.policyName,
    slotAt: atOrNull(one.slotAt),
    state: one.state,
    attempt: one.attempt,
    cancelRequested: one.cancelAt !== null,
    progress: one.progress,
    outcome: one.outcome,
    reason: one.reason,
    message: one.message,
    counts: one.counts,
    hasReport: one.hasReport,
    snapshot: one.snapshot,
    requestedBy: one.requestedBy,
    createdAt: at(one.createdAt),
    startedAt: atOrNull(one.startedAt),
    finishedAt: atOrNull(one.finishedAt),
  })
  return createRoutes()
    .openapi(backup, async (c) => {
      const asked = await jobRequests.backup(c.req.valid('json'), c.get('identity'))
      const items = asked.map((one) => ({ ...shown(one.job), created: one.created }))
      return c.json({ items }, 202)
    })
    .openapi(restore, async (c) => {
      return c.json(shown(await jobRequests.restore(c.req.valid('json'), c.get('identity'))), 202)
    })
    .openapi(browse, async (c) => {
      return c.json(shown(await jobRequests.browse(c.req.valid('json'), c.get('identity'))), 202)
    })
    .openapi(verify, async (c) => {
      return c.json(shown(await jobRequests.verify(c.req.valid('json'), c.get('identity'))), 202)
    })
    .openapi(adopt, async (c) => {
      return c.json(shown(await jobRequests.adopt(c.req.valid('json'), c.get('identity'))), 202)
    })
    .openapi(list, async (c) => {
      const { cursor, limit, ...filter } = c.req.valid('query')
      const found = await jobListing.list({
        ...filter,
        before: cursor,
        limit: limit ?? DEFAULT_PAGE,
      })
      return c.json({ items: found.jobs.map(shown), next: found.next }, 200)
    })
    .openapi(show, async (c) => {
      const { version, wait: seconds } = c.req.valid('query')
      const signal = c.req.raw.signal
      const longest = (seconds ?? 0) * SECOND
      const seen = await jobListing.watch(c.req.valid('param').id, version, longest, signal)
      return c.json({ ...shown(seen.job), version: seen.version }, 200)
    })
    .openapi(cancel, async (c) => {
      return c.json(
        shown(await jobRequests.cancel(c.req.valid('param').id, c.get('identity'))),
        202,
      )
    })
    .openapi(report, async (c) => {
      return c.json({ sealed: await jobListing.report(c.req.valid('param').id) }, 200)
    })
    .openapi(page, async (c) => {
      const { id: job, page: number } = c.req.valid('param')
      const longest = (c.req.valid('query').wait ?? 0) * SECOND
      const { last, bytes } = await jobListing.page(job, number, longest, c.req.raw.signal)
      return c.json({ page: number, last, sealed: bytes }, 200)
    })
}
