import type { Command } from 'commander'
import type { RestoreTarget } from '../../../shared/backup/job.ts'
import { toBase64, utf8 } from '../../../shared/bytes.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf } from '../api.ts'
import { confirmRecipient } from '../confirm-recipient.ts'
import type { Context } from '../context.ts'
import { openEscrow } from '../escrow.ts'
import { follow } from '../follow.ts'
import { readIdentities, sealTo } from '../recovery-kit.ts'
import { collect } from './backup.ts'

interface Options {
  toVolume?: string
  toDirectory?: string
  inPlace?: boolean
  stopContainers?: boolean
  keepOld: string
  path: string[]
  host?: string
  identity?: string
  recipient?: string
  wait: boolean
}

export function addRestore(program: Command, context: () => Context): void {
  program
    .command('restore <snapshot>')
    .description('Restore a snapshot, into a new volume unless told otherwise')
    .option('--to-volume <name>', 'name of the new volume')
    .option('--to-directory <path>', 'into a directory of the host that is absent or empty')
    .option('--in-place', 'exchange the content of the volume it came from (admin)')
    .option(
      '--stop-containers',
      'with --in-place: stop what uses the volume, start it again afterwards',
    )
    .option('--keep-old <hours>', 'with --in-place: how long the old content is kept', '24')
    .option(
      '--path <path>',
      'only this path inside the source; may be given several times',
      collect,
      [],
    )
    .option('--host <name>', 'on another host than it came from (admin; needs --identity)')
    .option('--identity <file>', 'the recovery kit, for another host')
    .option('--recipient <age1…>', 'the recipient `holdfast-agent status` shows on that host')
    .option('--no-wait', 'do not wait for the end')
    .action(async (id: string, options: Options) => {
      const ctx = context()
      const { snapshots, jobs } = await ctx.api()
      const snapshot = await answerOf(snapshots[':id'].$get({ param: { id } }))
      const target = targetOf(options, snapshot.source, snapshot.time)
      const elsewhere =
        options.host !== undefined &&
        options.host !== snapshot.hostName &&
        options.host !== snapshot.host
      const sealedPassword = elsewhere
        ? await passwordFor(ctx, snapshot.hostName, options)
        : undefined
      const job = await answerOf(
        jobs.restore.$post({
          json: {
            snapshot: snapshot.id,
            target,
            paths: options.path.map((path) => toBase64(utf8(path.replace(/^\/+|\/+$/g, '')))),
            ...(options.host === undefined ? {} : { host: options.host }),
            ...(sealedPassword === undefined ? {} : { sealedPassword }),
          },
        }),
      )
      ctx.output.note(
        `restoring ${snapshot.id.slice(0, 8)} (${snapshot.source}) into ${describe(target)} on ${job.hostName}`,
      )
      if (options.wait) await follow(ctx, job.id)
      else ctx.output.one(job, job.id)
    })
}

function targetOf(options: Options, source: string, time: string): RestoreTarget {
  const chosen = [options.toVolume, options.toDirectory, options.inPlace].filter(
    (one) => one !== undefined,
  )
  if (chosen.length > 1) {
    throw new HoldfastError(
      'invalid',
      '--to-volume, --to-directory and --in-place exclude each other',
    )
  }
  if (options.toDirectory !== undefined) return { kind: 'directory', path: options.toDirectory }
  const name = source.startsWith('volume:') ? source.slice('volume:'.length) : undefined
  if (options.inPlace) {
    if (name === undefined)
      throw new HoldfastError('invalid', `--in-place: ${source} is not a volume`, {
        hint: 'use --to-directory',
      })
    const keepOldHours = Number(options.keepOld)
    if (!Number.isInteger(keepOldHours) || keepOldHours < 0) {
      throw new HoldfastError(
        'invalid',
        `--keep-old: "${options.keepOld}" is not a whole number of hours`,
      )
    }
    return { kind: 'in-place', name, stopContainers: options.stopContainers ?? false, keepOldHours }
  }
  if (options.toVolume !== undefined) return { kind: 'new-volume', name: options.toVolume }
  if (name === undefined) {
    throw new HoldfastError('invalid', `${source} is a directory: say where it shall go`, {
      hint: 'use --to-directory or --to-volume',
    })
  }
  return {
    kind: 'new-volume',
    name: `${name}-${time.slice(0, 19).replace(/[-:]/g, '')}`.slice(0, 255),
  }
}

function describe(target: RestoreTarget): string {
  if (target.kind === 'directory') return `directory ${target.path}`
  return target.kind === 'in-place'
    ? `volume ${target.name}, in place`
    : `new volume ${target.name}`
}

/** The recovery password of the snapshot's repository, sealed to the other host. */
async function passwordFor(context: Context, owner: string, options: Options): Promise<string> {
  if (options.identity === undefined) {
    throw new HoldfastError(
      'invalid',
      '--identity is needed to restore on another host: only the recovery kit opens its repository',
      {
        hint: 'give the file that `holdfast recovery kit` wrote',
      },
    )
  }
  const { hosts, repositories } = await context.api()
  const host = await answerOf(hosts[':host'].$get({ param: { host: options.host ?? '' } }))
  await confirmRecipient(context, host, options.recipient, 'nothing was restored')
  const { escrows } = await answerOf(repositories[':id'].$get({ param: { id: owner } }))
  const password = await openEscrow(owner, escrows, await readIdentities(options.identity))
  return toBase64(await sealTo(host.recipient, utf8(password)))
}
