import type { Command } from 'commander'
import { toBase64, utf8 } from '../../../shared/bytes.ts'
import { answerOf } from '../api.ts'
import { confirmRecipient } from '../confirm-recipient.ts'
import type { Context } from '../context.ts'
import { follow } from '../follow.ts'
import { sealTo } from '../recovery-kit.ts'
import { secretInput } from '../secret-input.ts'

interface Options {
  host: string
  vault: string
  prefix: string
  recipient?: string
  wait: boolean
}

export function addAdopt(program: Command, context: () => Context): void {
  program
    .command('adopt')
    .description("Make an existing restic repository a host's own, without copying (admin)")
    .requiredOption('--host <name>', 'a host that has no backups yet')
    .requiredOption('--vault <name>', 'the vault of the bucket or disk it lies in')
    .requiredOption(
      '--prefix <path>',
      'where it lies: from the root of the bucket, or from the folder of a disk vault',
    )
    .option('--recipient <age1…>', 'the recipient `holdfast-agent status` shows on that host')
    .option('--no-wait', 'do not wait for the end')
    .addHelpText(
      'after',
      `
Its password is taken from RESTIC_PASSWORD, from the file RESTIC_PASSWORD_FILE names, or asked for; it is
sealed to the host before it leaves this program. The host adds its own password and the recovery password.`,
    )
    .action(async (options: Options) => {
      const ctx = context()
      const { hosts, jobs } = await ctx.api()
      const host = await answerOf(hosts[':host'].$get({ param: { host: options.host } }))
      await confirmRecipient(ctx, host, options.recipient, 'nothing was adopted')
      const password = await secretInput(
        ctx,
        'RESTIC_PASSWORD',
        'Password of the existing repository: ',
      )
      const sealedPassword = toBase64(await sealTo(host.recipient, utf8(password)))
      const { vault, prefix } = options
      const job = await answerOf(
        jobs.adopt.$post({ json: { host: host.name, vault, prefix, sealedPassword } }),
      )
      if (options.wait) await follow(ctx, job.id)
      else ctx.output.one(job, job.id)
    })
}
