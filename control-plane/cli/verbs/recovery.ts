import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { openEscrow } from '../escrow.ts'
import { makeRecoveryKit, readIdentities, writeKit } from '../recovery-kit.ts'

export function addRecovery(program: Command, context: () => Context): void {
  const recovery = program
    .command('recovery')
    .description('The recovery key: what opens backups when everything else is lost')
  recovery
    .command('kit')
    .description('Make a recovery kit on this machine')
    .requiredOption('--out <file>', 'where to write it; never overwritten')
    .action(async (options: { out: string }) => {
      const kit = await makeRecoveryKit()
      const file = resolve(options.out)
      await writeKit(file, kit, new Date().toISOString())
      context().output.one(
        { file, recipient: kit.recipient },
        `The recovery kit is in ${file}.\nMove it off this machine, keep two copies, and lose neither.\nEnrol hosts with --recovery ${kit.recipient}`,
      )
    })
  recovery
    .command('open')
    .description("Open the recovery password of a host's repository, for stock restic")
    .requiredOption('--host <name>', 'the host whose repository it is')
    .requiredOption('--identity <file>', 'the recovery kit')
    .requiredOption('--password-file <file>', 'where to write the password; never overwritten')
    .action(async (options: { host: string; identity: string; passwordFile: string }) => {
      const { output, api } = context()
      const repository = await answerOf(
        (await api()).repositories[':id'].$get({ param: { id: options.host } }),
      )
      const password = await openEscrow(
        repository.hostName,
        repository.escrows,
        await readIdentities(options.identity),
      )
      const file = resolve(options.passwordFile)
      await writeFile(file, password, { mode: 0o600, flag: 'wx' }).catch(
        (error: NodeJS.ErrnoException) => {
          throw new HoldfastError(
            'invalid',
            `--password-file ${file}: cannot be written (${error.code})`,
            {
              hint:
                error.code === 'EEXIST'
                  ? 'it exists, and is never overwritten: choose another name'
                  : 'choose another place',
            },
          )
        },
      )
      const { restic } = repository
      output.one(
        { passwordFile: file, repository: repository.id, restic },
        [
          `The password is in ${file} (remove it when you are done). To read the repository:`,
          '',
          `  ${restic.read}`,
          '',
          ...restic.notes,
        ].join('\n'),
      )
    })
}
