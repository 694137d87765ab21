import type { Command } from 'commander'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'

export function addEnrollToken(program: Command, context: () => Context): void {
  program
    .command('enroll-token')
    .description('Make a one-time token with which a host joins; it lives ten minutes')
    .option('--vault <name>', 'where its repository will lie; the default vault if left out')
    .action(async (options: { vault?: string }) => {
      const { output, api } = context()
      const json = options.vault === undefined ? {} : { vault: options.vault }
      const issued = await answerOf((await api())['enrolment-tokens'].$post({ json }))
      output.one(
        issued,
        `On the host, until ${formatTime(issued.expiresAt)}, run\n\n  ${issued.command}\n\nand give it this token when it asks (shown once):\n\n  ${issued.token}`,
      )
    })
}
