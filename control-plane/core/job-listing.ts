// Jobs for the eye: lists, and one job that is watched until something about it changes.

import { sha256Hex, utf8 } from '../../shared/bytes.ts'
import { type Duration, type Instant, SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { FleetStore } from '../ports/store/fleet.ts'
import type { Job, JobFilter, JobRequestsStore } from '../ports/store/job-requests.ts'
import type { Basics } from './deps.ts'

/** How often a watched job is read again: progress comes at most once a second. */
const LOOK_EVERY = SECOND / 2

export type JobListing = ReturnType<typeof createJobListing>

export function createJobListing(
  deps: Basics & { store: JobRequestsStore; fleet: Pick<FleetStore, 'host'> },
) {
  const { store, clock } = deps

  /** Reads until `found` says something or `wait` is over. */
  async function until<T>(
    wait: Duration,
    signal: AbortSignal | undefined,
    read: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const end = clock.monotonic() + wait
    for (;;) {
      const found = await read()
      const left = end - clock.monotonic()
      if (found !== undefined || left <= 0 || signal?.aborted === true) return found
      await clock.sleep(Math.min(LOOK_EVERY, left), signal).catch(() => undefined)
    }
  }

  async function get(id: string): Promise<{ job: Job; version: string }> {
    const job = await store.get(id)
    if (job === undefined) throw new HoldfastError('not-found', `there is no job "${id}"`)
    return { job, version: await versionOf(job) }
  }

  return {
    /** Newest first; `next` continues after the last one. */
    async list(
      filter: Omit<JobFilter, 'host'> & { host?: string | undefined },
    ): Promise<{ jobs: Job[]; next: string | undefined }> {
      const host = filter.host === undefined ? undefined : await deps.fleet.host(filter.host)
      if (filter.host !== undefined && host === undefined) {
        throw new HoldfastError('not-found', `there is no host "${filter.host}"`)
      }
      const found = await store.list({ ...filter, host: host?.id, limit: filter.limit + 1 })
      const jobs = found.slice(0, filter.limit)
      return { jobs, next: found.length > jobs.length ? jobs.at(-1)?.id : undefined }
    },

    /**
     * The job as it is, or, given the version the caller knows, as soon as it is another (at the latest after
     * `wait` ms, unchanged). Watching stops with `signal`.
     */
    async watch(
      id: string,
      known: string | undefined,
      wait: Duration,
      signal?: AbortSignal,
    ): Promise<{ job: Job; version: string }> {
      if (known === undefined) return get(id)
      const changed = await until(wait, signal, async () => {
        const seen = await get(id)
        return seen.version === known ? undefined : seen
      })
      return changed ?? get(id)
    },

    /** The sealed report: names of the files concerned, for the holder of the recovery key. */
    async report(id: string): Promise<string> {
      const { job } = await get(id)
      const report = await store.report(job.id)
      if (report === undefined) throw new HoldfastError('not-found', `job "${id}" has no report`)
      return report
    },

    /** One sealed page of a browse job, waiting up to `wait` ms for it while the job may still send it. */
    async page(
      id: string,
      page: number,
      wait: Duration,
      signal?: AbortSignal,
    ): Promise<{ page: number; last: boolean; bytes: string }> {
      const found = await until(wait, signal, async () => {
        const { job } = await get(id)
        const stored = await store.page(id, page)
        if (stored !== undefined) return { page, ...stored }
        return job.state === 'finished' ? null : undefined
      })
      if (found) return found
      throw new HoldfastError(
        'not-found',
        found === null
          ? `job "${id}" ended without a page ${page}`
          : `page ${page} of job "${id}" is not here yet`,
      )
    },

    forgetPages: (before: Instant) => store.forgetPages(before),
  }
}

/** Changes whenever anything people see of the job changes. */
async function versionOf(job: Job): Promise<string> {
  const { state, attempt, batch, cancelAt, progress, outcome, snapshot, hasReport } = job
  const seen = [state, attempt, batch, cancelAt, progress, outcome, snapshot, hasReport]
  return (await sha256Hex(utf8(JSON.stringify(seen)))).slice(0, 16)
}
