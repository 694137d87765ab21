// Waits for jobs on behalf of a person, says how they ended, and sets the exit code.
import { HoldfastError } from '../../shared/errors.ts'
import { answerOf } from './api.ts'
import type { Context } from './context.ts'
import { exitCodeOfOutcome } from './exit-code.ts'
import { barWatcher, lineWatcher, silentWatcher, type WatchedJob, waitForJob } from './job-wait.ts'
import { formatBytes, formatDuration } from './output.ts'

/** One job as the API shows it. */
export async function lookAt(context: Context, id: string) {
  const { jobs } = await context.api()
  return answerOf(jobs[':id'].$get({ param: { id }, query: {} }))
}
export type SeenJob = Awaited<ReturnType<typeof lookAt>>

/** Waits until the job is finished, prints it, and raises the exit code as its outcome asks. */
export async function follow(context: Context, id: string): Promise<SeenJob> {
  const job = await waitFor(context, id)
  context.output.one(job, summary(job))
  const code = job.outcome === null ? 1 : exitCodeOfOutcome(job.outcome, job.reason)
  context.exitCode = Math.max(context.exitCode, code)
  return job
}

/** Waits without printing the end. */
export async function waitFor(context: Context, id: string): Promise<SeenJob> {
  try {
    return await waitForJob(() => lookAt(context, id), watcherFor(context), context.signal)
  } catch (error) {
    if (!context.signal.aborted) throw error
    throw new HoldfastError('cancelled', `stopped waiting; job ${id} goes on`, {
      hint: `\`holdfast cancel ${id}\` stops it, \`holdfast job watch ${id}\` waits again`,
    })
  }
}

function watcherFor({ output, interactive }: Context) {
  if (output.json) return silentWatcher
  if (interactive) return barWatcher(process.stderr)
  return lineWatcher(
    (line) => output.note(line),
    () => performance.now(),
  )
}

/** How it ended, in a sentence or two. */
export function summary(
  job: SeenJob | (WatchedJob & Pick<SeenJob, 'source' | 'counts' | 'snapshot' | 'hostName'>),
): string {
  const what = job.source === null ? job.hostName : `${job.hostName} ${job.source}`
  const counts = job.counts
  const amount =
    counts === null
      ? ''
      : ` ${counts.files} files, ${formatBytes(counts.bytes)} in ${formatDuration(counts.milliseconds)}`
  const stored =
    counts?.bytesStored === undefined ? '' : `, ${formatBytes(counts.bytesStored)} stored`
  const snapshot = job.snapshot === null ? '' : `\nsnapshot ${job.snapshot}`
  const why =
    job.outcome === 'succeeded'
      ? ''
      : ` (${job.reason})${job.message === null ? '' : `: ${job.message}`}`
  return `${job.kind} of ${what}: ${job.outcome ?? job.state}${why}${amount && `;${amount}`}${stored}${snapshot}`
}
