import type { Command } from 'commander'
import { answerOf, done } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'

export function addHosts(program: Command, context: () => Context): void {
  const hosts = program.command('hosts').description('List the hosts of the fleet')
  hosts.action(async () => {
    const { output, api } = context()
    const { items } = await answerOf((await api()).hosts.$get())
    output.list(items, [
      ['NAME', (host) => host.name],
      ['STATE', (host) => host.state],
      ['SEEN', (host) => formatTime(host.lastSeen)],
      ['SOURCES', (host) => String(host.sources)],
      ['REPOSITORY', (host) => host.repositoryState],
      ['VAULT', (host) => host.vault],
      ['ENGINE', (host) => host.engine ?? 'none'],
      ['AGENT', (host) => host.version],
    ])
    for (const host of items) {
      if (host.recoveryRecipient === null) {
        output.note(
          `${host.name} enrolled without a recovery recipient and does not back up until its host.yaml names one`,
        )
      }
    }
  })
  hosts
    .command('show <name>')
    .description('Show one host, with its recipients')
    .action(async (name: string) => {
      const { output, api } = context()
      const host = await answerOf((await api()).hosts[':host'].$get({ param: { host: name } }))
      output.one(
        host,
        [
          `name        ${host.name}`,
          `id          ${host.id}`,
          `state       ${host.state}, last seen ${formatTime(host.lastSeen) || 'never'}`,
          `repository  ${host.repository} (${host.repositoryState}) in vault ${host.vault}`,
          `recovery    ${host.recoveryRecipient ?? 'none: it does not back up'}`,
          `recipient   ${host.recipient}`,
        ].join('\n'),
      )
    })
  hosts
    .command('remove <name>')
    .description('Take a host out of the fleet; its snapshots stay')
    .action(async (name: string) => {
      const { output, api } = context()
      await done((await api()).hosts[':host'].$delete({ param: { host: name } }))
      output.one({ removed: name }, `${name} is no longer part of the fleet; its snapshots stay`)
    })
}
