import type { Command } from 'commander'
import { type Api, answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'

export function addRetention(program: Command, context: () => Context): void {
  const retention = program
    .command('retention')
    .description('What is kept of each source, and for how long')
  retention
    .command('preview <policy-or-host>')
    .description('Show what would be kept now and why, and what would be forgotten')
    .option('--forgotten', 'only what would be forgotten')
    .action(async (name: string, options: { forgotten?: true }) => {
      const { output, api } = context()
      const routes = await api()
      const query = await isPolicy(routes, name)
      let cursor: string | undefined
      do {
        const page = await answerOf(
          routes.retention.preview.$get({
            query: { ...query, ...(cursor === undefined ? {} : { cursor }) },
          }),
        )
        const rows = page.items.flatMap(({ snapshots, ...source }) =>
          snapshots.map((snapshot) => ({ ...source, ...snapshot })),
        )
        output.list(
          rows.filter(({ reasons }) => options.forgotten === undefined || reasons.length === 0),
          [
            ['HOST', (one) => one.hostName],
            ['SOURCE', (one) => one.source],
            ['SNAPSHOT', (one) => one.id.slice(0, 8)],
            ['TIME', (one) => formatTime(one.time)],
            ['KEPT BECAUSE', (one) => one.reasons.join(', ') || '(would be forgotten)'],
          ],
        )
        cursor = page.next
      } while (cursor !== undefined)
    })
  retention
    .command('claim <snapshot>')
    .description('Put a snapshot that another program made under the rules of a policy')
    .requiredOption('--policy <name>')
    .action(async (id: string, { policy }: { policy: string }) => {
      const { output, api } = context()
      const call = (await api()).snapshots[':id'].claim.$post({ param: { id }, json: { policy } })
      const one = await answerOf(call)
      output.one(one, `snapshot ${one.id.slice(0, 8)} is kept as policy "${policy}" says`)
    })

  const hold = program.command('hold').description('Keep snapshots whatever any policy says')
  hold
    .command('add <snapshot>')
    .description('Hold a snapshot: it is not forgotten until that ends')
    .option('--why <reason>', 'shown with the snapshot and kept in the log')
    .action(async (id: string, { why }: { why?: string }) => {
      const { output, api } = context()
      const json = why === undefined ? {} : { why }
      const one = await answerOf((await api()).snapshots[':id'].hold.$post({ param: { id }, json }))
      output.one(one, `snapshot ${one.id.slice(0, 8)} is held`)
    })
  hold
    .command('remove <snapshot>')
    .description('End the hold of a snapshot')
    .action(async (id: string) => {
      const { output, api } = context()
      const one = await answerOf((await api()).snapshots[':id'].hold.$delete({ param: { id } }))
      output.one(one, `snapshot ${one.id.slice(0, 8)} is held no more`)
    })
}

/** A name that a policy has means the policy; else it is a host's. */
async function isPolicy(routes: Api, name: string): Promise<{ policy: string } | { host: string }> {
  const { items } = await answerOf(routes.policies.$get())
  return items.some((policy) => policy.name === name) ? { policy: name } : { host: name }
}
