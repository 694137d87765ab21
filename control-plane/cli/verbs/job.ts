import type { Command } from 'commander'
import * as z from 'zod'
import { jobKind, jobState } from '../../../shared/backup/job.ts'
import { outcome } from '../../../shared/backup/outcome.ts'
import { fromBase64 } from '../../../shared/bytes.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { follow, summary } from '../follow.ts'
import { formatBytes, formatTime, printable } from '../output.ts'
import { openSealed, readIdentities } from '../recovery-kit.ts'

interface Filters {
  host?: string
  policy?: string
  kind?: string
  state?: string
  outcome?: string
  limit: string
}

export function addJobs(program: Command, context: () => Context): void {
  program
    .command('jobs')
    .description('List jobs, newest first')
    .option('--host <name>')
    .option('--policy <name>')
    .option('--kind <kind>', jobKind.options.join(', '))
    .option('--state <state>', jobState.options.join(', '))
    .option('--outcome <outcome>', outcome.options.join(', '))
    .option('--limit <n>', 'at most this many', '50')
    .action(async (filters: Filters) => {
      const { output, api } = context()
      const query = Object.fromEntries(
        Object.entries(filters).filter(([, value]) => value !== undefined),
      )
      const { items } = await answerOf((await api()).jobs.$get({ query }))
      output.list(items, [
        ['JOB', (job) => job.id],
        ['KIND', (job) => job.kind],
        ['HOST', (job) => job.hostName],
        ['SOURCE', (job) => job.source ?? ''],
        ['STATE', (job) => job.outcome ?? job.state],
        ['REASON', (job) => (job.outcome === 'succeeded' ? '' : (job.reason ?? ''))],
        ['BEGUN', (job) => formatTime(job.startedAt ?? job.createdAt)],
        ['BYTES', (job) => formatBytes(job.counts?.bytes)],
        ['STORED', (job) => formatBytes(job.counts?.bytesStored)],
      ])
    })

  const job = program.command('job').description('One job')
  job
    .command('watch <id>')
    .description('Wait for a job to end')
    .action(async (id: string) => void (await follow(context(), id)))
  job
    .command('report <id>')
    .description('Open the sealed report of a job: names of the files concerned')
    .requiredOption('--identity <file>', 'the recovery kit')
    .action(async (id: string, options: { identity: string }) => {
      const { output, api } = context()
      const identities = await readIdentities(options.identity)
      const { sealed } = await answerOf((await api()).jobs[':id'].report.$get({ param: { id } }))
      const text = new TextDecoder().decode(await openSealed(fromBase64(sealed), identities))
      const report = sealedReport.safeParse(JSON.parse(text))
      if (!report.success) {
        throw new HoldfastError('invalid', 'the report holds something else than a report')
      }
      output.one(report.data, reportText(report.data))
    })

  program
    .command('cancel <job>')
    .description('Stop a job')
    .action(async (id: string) => {
      const { output, api } = context()
      const one = await answerOf((await api()).jobs[':id'].cancel.$post({ param: { id } }))
      output.one(one, one.state === 'finished' ? summary(one) : `job ${id} is told to stop`)
    })
}

/** What the agent seals: paths as the base64 of their raw bytes, relative to the source's root. */
const sealedReport = z.looseObject({
  source: z.string(),
  names: z.array(
    z.looseObject({ what: z.string(), path: z.string(), detail: z.string().optional() }),
  ),
})

/** A line for each name: what happened to it, its path, and why. */
function reportText({ source, names }: z.infer<typeof sealedReport>): string {
  const width = Math.max(0, ...names.map(({ what }) => what.length))
  const lines = names.map(({ what, path, detail }) => {
    const why = detail === undefined ? '' : ` (${detail})`
    return printable(`${what.padEnd(width)}  ${Buffer.from(path, 'base64').toString('utf8')}${why}`)
  })
  return [printable(source), ...lines].join('\n')
}
