import type { Command } from 'commander'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'

export function addSources(program: Command, context: () => Context): void {
  program
    .command('sources')
    .description('List what hosts have, and which policies cover it')
    .option('--host <name>', 'only of this host')
    .option('--unprotected', 'only what no policy covers')
    .option('--gone', 'also what is not there any more')
    .action(async (options: { host?: string; unprotected?: boolean; gone?: boolean }) => {
      const { output, api } = context()
      const query = {
        ...(options.host === undefined ? {} : { host: options.host }),
        ...(options.unprotected ? { unprotected: 'true' as const } : {}),
        ...(options.gone ? { gone: 'true' as const } : {}),
      }
      const { items } = await answerOf((await api()).sources.$get({ query }))
      output.list(items, [
        ['HOST', (source) => source.hostName],
        ['SOURCE', (source) => source.source],
        ['PROJECT', (source) => source.project ?? ''],
        ['USED BY', (source) => source.usedBy.join(',')],
        ['NEWEST SNAPSHOT', (source) => formatTime(source.snapshotAt) || 'none'],
        ['POLICIES', (source) => source.policies.join(',') || 'none'],
        ['REMARK', (source) => remark(source)],
      ])
    })
}

function remark(source: {
  unsupported: string | null
  anonymous: boolean
  goneAt: string | null
}): string {
  if (source.goneAt !== null) return `gone since ${formatTime(source.goneAt)}`
  if (source.unsupported !== null) return source.unsupported
  return source.anonymous ? 'made without a name' : ''
}
