import type { Command } from 'commander'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { formatBytes, formatTime } from '../output.ts'

export function addSnapshots(program: Command, context: () => Context): void {
  program
    .command('snapshots')
    .description('List snapshots, newest first')
    .option('--host <name>')
    .option('--source <source>', 'volume:<name> or directory:<path>')
    .option('--gone', 'also those that were forgotten or removed outside Holdfast')
    .option('--limit <n>', 'at most this many', '100')
    .action(async (options: { host?: string; source?: string; gone?: true; limit: string }) => {
      const { output, api } = context()
      const query = Object.fromEntries(
        Object.entries(options)
          .filter(([, value]) => value !== undefined)
          .map(([name, value]) => [name, String(value)]),
      )
      const { items } = await answerOf((await api()).snapshots.$get({ query }))
      output.list(items, [
        ['SNAPSHOT', (one) => one.id.slice(0, 8)],
        ['TIME', (one) => formatTime(one.time)],
        ['HOST', (one) => one.hostName],
        ['SOURCE', (one) => one.source],
        ['OUTCOME', (one) => one.outcome ?? 'foreign'],
        ['FILES', (one) => String(one.counts?.files ?? '')],
        ['SIZE', (one) => formatBytes(one.counts?.bytes)],
        ['STORED', (one) => formatBytes(one.counts?.bytesStored)],
        ['POLICY', (one) => one.policy ?? ''],
        ['STATE', (one) => (one.held === null ? one.state : `${one.state}, held`)],
      ])
    })
}
