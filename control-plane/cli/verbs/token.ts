import type { Command } from 'commander'
import { type Role, role } from '../../../shared/access/role.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf, done } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'

export function addToken(program: Command, context: () => Context): void {
  const token = program.command('token').description('API tokens of people and programs')
  token
    .command('create <name>')
    .description('Make a token; it is shown once')
    .requiredOption('--role <role>', role.options.join(', '))
    .option('--expires-in-days <n>')
    .action(async (name: string, options: { role: string; expiresInDays?: string }) => {
      const { output, api } = context()
      const json = {
        name,
        role: roleOf(options.role),
        ...(options.expiresInDays === undefined
          ? {}
          : { expiresInDays: Number(options.expiresInDays) }),
      }
      const made = await answerOf((await api())['api-tokens'].$post({ json }))
      output.one(made, made.token)
    })
  token
    .command('list')
    .description('List tokens, without their secrets')
    .action(async () => {
      const { output, api } = context()
      const { items } = await answerOf((await api())['api-tokens'].$get())
      output.list(items, [
        ['ID', (one) => one.id],
        ['NAME', (one) => one.name],
        ['ROLE', (one) => one.role],
        ['MADE', (one) => formatTime(one.createdAt)],
        ['LAST USED', (one) => formatTime(one.lastUsedAt) || 'never'],
        [
          'ENDS',
          (one) => (one.revokedAt !== null ? 'revoked' : formatTime(one.expiresAt) || 'never'),
        ],
      ])
    })
  token
    .command('revoke <id>')
    .description('End a token at once')
    .action(async (id: string) => {
      const { output, api } = context()
      await done((await api())['api-tokens'][':id'].$delete({ param: { id } }))
      output.one({ revoked: id }, `token ${id} is revoked`)
    })
}

function roleOf(text: string): Role {
  const parsed = role.safeParse(text)
  if (parsed.success) return parsed.data
  throw new HoldfastError('invalid', `--role: "${text}" is not one of ${role.options.join(', ')}`)
}
