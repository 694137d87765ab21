import { once } from 'node:events'
import type { Command } from 'commander'
import type { ClientResponse } from 'hono/client'
import type { AuditEvent } from '../../../shared/audit/event.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { reach } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'

interface Options {
  since?: string
  until?: string
  host?: string
  actor?: string
  action?: string
  outcome?: string
  job?: string
  limit: string
  format?: string
}

/** One page; the route's own type is blurred by its exports. */
interface Page {
  readonly items: readonly { readonly seq: number; readonly event: AuditEvent }[]
}

export function addAudit(program: Command, context: () => Context): void {
  program
    .command('audit')
    .description('Read the audit log; reading it is noted in it')
    .option('--since <time>', 'RFC 3339, e.g. 2026-01-02T03:04:05Z')
    .option('--until <time>')
    .option('--host <name>')
    .option('--actor <actor>', 'token:<id>, host:<id> or system')
    .option('--action <action>', 'e.g. job.finished or job.*')
    .option('--outcome <outcome>', 'ok, refused or failed')
    .option('--job <id>')
    .option('--limit <n>', 'at most this many, newest first', '50')
    .option('--format <format>', 'export everything that matches: ndjson or csv')
    .action(async ({ format, limit, ...filter }: Options) => {
      const { output, api } = context()
      const given = Object.fromEntries(
        Object.entries(filter).filter(([, value]) => value !== undefined),
      )
      if (format !== undefined) {
        if (format !== 'ndjson' && format !== 'csv') {
          throw new HoldfastError('invalid', `--format: "${format}" is not ndjson or csv`)
        }
        await exported((await api()).audit.$get({ query: { ...given, format } }))
        return
      }
      const { items }: Page = JSON.parse(
        await (await reach((await api()).audit.$get({ query: { ...given, limit } }))).text(),
      )
      output.list(items, [
        ['SEQ', ({ seq }) => String(seq)],
        ['TIME', ({ event }) => formatTime(event.at)],
        ['ACTOR', ({ event }) => event.actor],
        ['ACTION', ({ event }) => event.action],
        ['TARGET', ({ event }) => event.target],
        ['OUTCOME', ({ event }) => event.outcome],
      ])
    })
}

async function exported(call: Promise<ClientResponse<unknown>>): Promise<void> {
  const response = await reach(call)
  for await (const part of response.body ?? []) {
    if (!process.stdout.write(part)) await once(process.stdout, 'drain')
  }
}
