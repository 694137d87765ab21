import type { Command } from 'commander'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { follow } from '../follow.ts'
import { onlyHost } from './backup.ts'

export function addVerify(program: Command, context: () => Context): void {
  program
    .command('verify')
    .description("Check a host's repository: its structure, or every byte")
    .option('--host <name>', 'the host; may be left out when the fleet has just one')
    .option('--read-data', 'read every pack')
    .action(async (options: { host?: string; readData?: boolean }) => {
      const ctx = context()
      const host = options.host ?? (await onlyHost(ctx))
      const { jobs } = await ctx.api()
      const job = await answerOf(
        jobs.verify.$post({ json: { host, readData: options.readData ?? false } }),
      )
      await follow(ctx, job.id)
    })
}
