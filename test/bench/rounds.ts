// One plan on one store: both sides in turns, round after round, each restore compared, each repository judged.
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Deed, Plan, Store } from './cases.ts'
import { type Contender, type Deed as Done, requireEqual } from './contender.ts'
import { type DataSet, dumpName } from './data-sets.ts'

export type Side = 'ours' | 'restic'
export const sides: readonly Side[] = ['ours', 'restic']

/** What one side needed for one deed of one round, and what then lay in its store. */
export interface Sample extends Done {
  readonly storedBytes: number
}
export type Samples = Map<Deed, Record<Side, Sample[]>>

export interface RoundsOptions {
  readonly plan: Plan
  readonly store: Store
  /** The deeds of the plan that are wanted; the others are done where they must come first, and not kept. */
  readonly wanted: readonly Deed[]
  readonly rounds: number
  /** Asked before each round but the first: false ends the plan with what it has. */
  readonly inTime: () => boolean
  readonly set: DataSet
  readonly tree: string
  /** For repositories and restored trees. */
  readonly folder: string
  readonly start: (side: Side, name: string) => Promise<Contender>
  readonly say: (line: string) => void
}

export async function runRounds(options: RoundsOptions): Promise<Samples> {
  const { plan, store, wanted, rounds, inTime, set, say } = options
  const samples: Samples = new Map(wanted.map((deed) => [deed, { ours: [], restic: [] }]))
  const fills = plan.deeds.find((deed) => deed === 'first backup' || deed === 'stream')
  // Only what fills a repository needs an empty one; all else may go on with the same.
  const afresh = fills !== undefined && wanted.includes(fills)
  let pair: Record<Side, Contender> | undefined
  try {
    for (let round = 1; round <= rounds; round++) {
      if (round > 1 && !inTime()) {
        say(`  ${store}: no time is left for round ${round} and later ones`)
        break
      }
      // Whoever comes second finds warmer caches, so they take turns at it.
      const order = round % 2 === 1 ? sides : sides.toReversed()
      pair ??= await startPair(options, round)
      if (!afresh && round === 1) for (const side of order) await pair[side].backup()
      for (const deed of wanted) {
        if (deed === '1 % changed') set.change!(options.tree, `${store} ${round}`)
        for (const side of order) {
          const sample = await perform(options, deed, pair[side])
          samples.get(deed)![side].push(sample)
        }
        say(`  ${store}, round ${round}, ${deed}: ${told(samples.get(deed)!)}`)
      }
      if (afresh) {
        await closePair(pair)
        pair = undefined
      }
    }
  } finally {
    if (pair !== undefined) await closePair(pair)
  }
  return samples
}

async function startPair(
  { start, store, set }: RoundsOptions,
  round: number,
): Promise<Record<Side, Contender>> {
  const name = (side: Side) => `${side}-${set.name.replaceAll(/\W+/g, '-')}-${store}-${round}`
  const ours = await start('ours', name('ours'))
  return { ours, restic: await start('restic', name('restic')) }
}

async function closePair(pair: Record<Side, Contender>): Promise<void> {
  for (const side of sides) await pair[side].close()
}

const told = (samples: Record<Side, readonly Sample[]>) =>
  sides
    .map((side) => {
      const last = samples[side].at(-1)!
      return `${side} ${last.seconds.toFixed(2)} s (${last.cpuSeconds.toFixed(1)} s of CPU)`
    })
    .join(', ')

async function perform(options: RoundsOptions, deed: Deed, contender: Contender): Promise<Sample> {
  const done = await doIt(options, deed, contender)
  // Judged after the clock stopped: what stores is checked, what restores was compared.
  if (deed !== 'restore' && deed !== 'verify') await contender.judge()
  return { ...done, storedBytes: await contender.storedBytes() }
}

async function doIt(options: RoundsOptions, deed: Deed, contender: Contender): Promise<Done> {
  const { tree, folder } = options
  if (deed === 'verify') return contender.verify()
  if (deed === 'stream') {
    const input = pipeFrom(join(tree, dumpName), folder)
    try {
      return await contender.backupStream(input)
    } finally {
      closeSync(input)
    }
  }
  if (deed !== 'restore') return contender.backup()
  const target = join(folder, 'restored')
  try {
    const restored = await contender.restore(target)
    requireEqual(tree, restored.tree)
    return restored
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

/** The reading end of a pipe into which another process, nobody's child, writes the file. */
function pipeFrom(file: string, folder: string): number {
  const fifo = join(folder, 'pipe')
  rmSync(fifo, { force: true })
  execFileSync('mkfifo', ['-m', '600', fifo])
  execFileSync('sh', ['-c', 'cat "$0" > "$1" &', file, fifo], { stdio: 'ignore' })
  return openSync(fifo, 'r')
}
