import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { stringify } from 'yaml'
import * as z from 'zod'
import { HoldfastError } from '../../../shared/errors.ts'
import { policyDocument } from '../../../shared/policy/document.ts'
import { answerOf, done } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'
import { parsePolicyFile } from '../policy-file.ts'

export function addPolicy(program: Command, context: () => Context): void {
  const policy = program.command('policy').description('What is backed up when, as documents')
  policy
    .command('apply')
    .description('Make policies be as a YAML or JSON file says')
    .requiredOption('-f, --file <file>', 'the file; - for stdin')
    .option('--dry-run', 'check the file and change nothing')
    .action(async (options: { file: string; dryRun?: boolean }) => {
      const { output, api } = context()
      const parsed = parsePolicyFile(options.file, await readText(options.file))
      for (const { document } of parsed) {
        if (options.dryRun) {
          output.one({ name: document.name, change: 'none' }, `${document.name}: valid`)
          continue
        }
        const param = { name: document.name }
        const applied = await answerOf(
          (await api()).policies[':name'].$put({ param, query: {}, json: document }),
        )
        const next =
          applied.nextAt === null ? 'runs by hand only' : `next run ${formatTime(applied.nextAt)}`
        output.one(
          applied,
          `${applied.name}: ${applied.change}, covers ${applied.covers.length} sources, ${next}`,
        )
        if (applied.covers.length === 0)
          output.note(
            `${applied.name} covers nothing yet; \`holdfast sources\` lists what there is`,
          )
      }
    })
  policy
    .command('schema')
    .description('Print the JSON Schema of policy documents, for editors')
    .action(() => {
      const schema = z.toJSONSchema(policyDocument, { io: 'input' })
      context().output.one(schema, JSON.stringify(schema, null, 2))
    })
  policy
    .command('list')
    .description('List policies')
    .action(async () => {
      const { output, api } = context()
      const { items } = await answerOf((await api()).policies.$get())
      output.list(items, [
        ['NAME', (one) => one.name],
        [
          'SCHEDULE',
          (one) =>
            one.document.schedule
              ? `${one.document.schedule.cron} ${one.document.schedule.timezone}`
              : 'by hand',
        ],
        ['NEXT RUN', (one) => formatTime(one.nextAt)],
        ['COVERS', (one) => String(one.covers.length)],
        ['VERSION', (one) => String(one.version)],
      ])
    })
  policy
    .command('show <name>')
    .description('Show a policy as a document, and what it covers')
    .action(async (name: string) => {
      const { output, api } = context()
      const one = await answerOf((await api()).policies[':name'].$get({ param: { name } }))
      const covers = one.covers.map((source) => `# covers ${source.hostName} ${source.source}`)
      output.one(one, [stringify(one.document).trimEnd(), ...covers].join('\n'))
    })
  policy
    .command('delete <name>')
    .description('Delete a policy; snapshots stay')
    .action(async (name: string) => {
      const { output, api } = context()
      await done((await api()).policies[':name'].$delete({ param: { name }, query: {} }))
      output.one({ deleted: name }, `${name} is deleted; its snapshots stay`)
    })
}

async function readText(file: string): Promise<string> {
  if (file === '-') {
    let text = ''
    for await (const part of process.stdin.setEncoding('utf8')) text += part as string
    return text
  }
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new HoldfastError('not-found', `--file ${file}: cannot be read (${error.code})`)
  })
}
