import type { Command } from 'commander'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { follow } from '../follow.ts'

interface Options {
  host?: string
  volume: string[]
  directory: string[]
  policy?: string
  readAll?: boolean
  wait: boolean
}

export function addBackup(program: Command, context: () => Context): void {
  program
    .command('backup')
    .description('Back up now: volumes or directories of a host, or what a policy covers')
    .option('--host <name>', 'the host; may be left out when the fleet has just one')
    .option('--volume <name>', 'a volume; may be given several times', collect, [])
    .option(
      '--directory <path>',
      'a directory the host offers; may be given several times',
      collect,
      [],
    )
    .option('--policy <name>', 'everything this policy covers')
    .option('--read-all', 'read every file again, even if it looks unchanged')
    .option('--no-wait', 'do not wait for the end')
    .action(async (options: Options) => {
      const ctx = context()
      const sources = [
        ...options.volume.map((name) => `volume:${name}`),
        ...options.directory.map((path) => `directory:${path}`),
      ]
      if (sources.length === 0 && options.policy === undefined) {
        throw new HoldfastError(
          'invalid',
          'nothing to back up: give --volume, --directory or --policy',
          {
            hint: '`holdfast sources` lists what there is',
          },
        )
      }
      const host = options.host ?? (sources.length === 0 ? undefined : await onlyHost(ctx))
      const { jobs } = await ctx.api()
      const { items } = await answerOf(
        jobs.backup.$post({
          json: {
            ...(host === undefined ? {} : { host }),
            ...(sources.length === 0 ? {} : { sources }),
            ...(options.policy === undefined ? {} : { policy: options.policy }),
            readAll: options.readAll ?? false,
          },
        }),
      )
      for (const job of items) {
        if (!options.wait) ctx.output.one(job, `${job.id}  ${job.hostName} ${job.source}`)
        else await follow(ctx, job.id)
      }
    })
}

/** The one host of a fleet of one. */
export async function onlyHost(context: Context): Promise<string> {
  const { items } = await answerOf((await context.api()).hosts.$get())
  const [first, second] = items
  if (first !== undefined && second === undefined) return first.name
  throw new HoldfastError('invalid', `--host is needed: the fleet has ${items.length} hosts`, {
    hint: '`holdfast hosts` lists them',
  })
}

export function collect(value: string, before: string[]): string[] {
  return [...before, value]
}
