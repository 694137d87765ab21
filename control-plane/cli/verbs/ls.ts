import { once } from 'node:events'
import type { Command } from 'commander'
import { browse, type Entry, entries } from '../browse.ts'
import type { Context } from '../context.ts'
import { formatTime, printable } from '../output.ts'

export function addLs(program: Command, context: () => Context): void {
  program
    .command('ls <snapshot> [path]')
    .description('List what a snapshot holds; names reach you sealed')
    .option('-r, --recursive', 'the whole tree below the path')
    .action(
      async (snapshot: string, path: string | undefined, options: { recursive?: boolean }) => {
        const ctx = context()
        const what = options.recursive ? 'tree' : 'list'
        for await (const one of entries(browse(ctx, { snapshot, path: path ?? '', what }))) {
          ctx.output.one(one, line(one))
        }
      },
    )
  program
    .command('dump <snapshot> <path>')
    .description('Write one file of a snapshot to stdout')
    .action(async (snapshot: string, path: string) => {
      for await (const bytes of browse(context(), { snapshot, path, what: 'file' })) {
        if (!process.stdout.write(bytes)) await once(process.stdout, 'drain')
      }
    })
}

/** Like `ls -l`, with control characters made visible. */
function line(one: Entry): string {
  const name = printable(Buffer.from(one.name, 'base64').toString('utf8'))
  const target =
    one.linktarget === undefined
      ? ''
      : ` -> ${printable(Buffer.from(one.linktarget, 'base64').toString('utf8'))}`
  const owner = `${one.uid}:${one.gid}`.padEnd(11)
  return `${letter(one.type)}${permissions(one.mode)} ${owner} ${String(one.size).padStart(12)} ${formatTime(one.mtime)} ${name}${target}`
}

function letter(type: string): string {
  return { dir: 'd', symlink: 'l', fifo: 'p', dev: 'b', chardev: 'c', socket: 's' }[type] ?? '-'
}

function permissions(mode: number): string {
  const bit = (mask: number, sign: string) => ((mode & mask) === 0 ? '-' : sign)
  const special = (mask: number, execute: number, both: string, alone: string) =>
    (mode & mask) === 0 ? bit(execute, 'x') : (mode & execute) === 0 ? alone : both
  return [
    bit(0o400, 'r'),
    bit(0o200, 'w'),
    special(0o4000, 0o100, 's', 'S'),
    bit(0o040, 'r'),
    bit(0o020, 'w'),
    special(0o2000, 0o010, 's', 'S'),
    bit(0o004, 'r'),
    bit(0o002, 'w'),
    special(0o1000, 0o001, 't', 'T'),
  ].join('')
}
