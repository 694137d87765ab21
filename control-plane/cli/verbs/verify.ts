import type { Command } from 'commander'
import { type DataSubset, parseDataSubset } from '../../../shared/backup/data-subset.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { follow } from '../follow.ts'
import { onlyHost } from './backup.ts'

interface VerifyOptions {
  readonly host?: string
  readonly readData?: true
  readonly readDataSubset?: string
  readonly snapshot?: string
}

export function addVerify(program: Command, context: () => Context): void {
  program
    .command('verify')
    .description("Check a host's repository: its structure always, its data as far as asked for")
    .option('--host <name>', 'the host; may be left out when the fleet has just one')
    .option('--read-data', 'read every pack')
    .option(
      '--read-data-subset <subset>',
      'read part n/t, a random x%, or random packs of a size (500M)',
    )
    .option('--snapshot <id>', 'read all packs that a snapshot needs; "random": of any')
    .action(async (options: VerifyOptions) => {
      const ctx = context()
      const readData = readDataOf(options)
      const host = options.host ?? (await onlyHost(ctx))
      const { jobs } = await ctx.api()
      const job = await answerOf(jobs.verify.$post({ json: { host, readData } }))
      await follow(ctx, job.id)
    })
}

function readDataOf({ readData, readDataSubset, snapshot }: VerifyOptions): boolean | DataSubset {
  const asked = [readData, readDataSubset, snapshot].filter((option) => option !== undefined)
  if (asked.length > 1) {
    throw new HoldfastError('invalid', 'give one of --read-data, --read-data-subset and --snapshot')
  }
  if (readDataSubset !== undefined) return parseDataSubset(readDataSubset)
  return snapshot === undefined ? readData === true : { snapshot }
}
