import type { Command } from 'commander'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { follow } from '../follow.ts'

interface PruneOptions {
  readonly maxRepackSize?: string
  readonly maxTime?: string
  readonly maxUnused?: string
}

export function addPrune(program: Command, context: () => Context): void {
  const prune = program
    .command('prune [host]')
    .description(
      'Give up what no snapshot of a host needs; it is deleted days later, once a later prune says so again',
    )
    .option('--max-repack-size <size>', 'write at most so much anew (500M, 20G); 0: nothing')
    .option('--max-time <minutes>', 'after so long no further pack is written anew')
    .option('--max-unused <percent>', 'leave so much waste in used packs')
    .action(async (host: string | undefined, options: PruneOptions) => {
      if (host === undefined) throw new HoldfastError('invalid', 'name the host')
      const ctx = context()
      const json = {
        host,
        ...given('maxRepackBytes', options.maxRepackSize, sizeOf),
        ...given('maxSeconds', options.maxTime, (text) => Math.round(numberOf(text) * 60)),
        ...given('maxUnusedPercent', options.maxUnused, (text) => numberOf(text.replace(/%$/, ''))),
      }
      const { job } = await answerOf((await ctx.api()).jobs.prune.$post({ json }))
      await follow(ctx, job)
    })
  prune
    .command('approve <job>')
    .description('Let a prune that waits for a word take away what it proposed')
    .action(async (id: string) => {
      const ctx = context()
      const call = (await ctx.api()).jobs[':id'].approve.$post({ param: { id } })
      await follow(ctx, (await answerOf(call)).job)
    })
}

function given<K extends string>(
  name: K,
  text: string | undefined,
  read: (text: string) => number,
): Partial<Record<K, number>> {
  return text === undefined ? {} : ({ [name]: read(text) } as Record<K, number>)
}

function numberOf(text: string): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text)
  throw new HoldfastError('invalid', `"${text}" is not a number`)
}

/** As restic writes sizes: a number with K, M, G or T. */
function sizeOf(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([KMGT])?$/i.exec(text) ?? []
  if (number === undefined)
    throw new HoldfastError('invalid', `"${text}" is not a size such as 20G`)
  const power = unit === undefined ? 0 : 'KMGT'.indexOf(unit.toUpperCase()) + 1
  return Math.round(Number(number) * 1_024 ** power)
}
