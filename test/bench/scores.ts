// From samples to the numbers that are printed and judged.
import {
  type Deed,
  type Goal,
  goalOf,
  judge,
  memoryGoal,
  type Store,
  storedGoal,
  type Verdict,
} from './cases.ts'
import { type DataSetName, dataSets, type Extent } from './data-sets.ts'
import { median } from './measure.ts'
import { type Sample, type Samples, type Side, sides } from './rounds.ts'

const MB = 1_000_000
const rounded = (value: number, digits: number) => Number(value.toFixed(digits))

export interface Score {
  readonly seconds: number
  readonly mb_s: number
  readonly rss_mb: number
  readonly cpu_s: number
  /** In the store after the deed. */
  readonly stored_mb: number
  /** The mover's own time, where the job's is the one that is judged. */
  readonly mover_seconds?: number
}

export interface Case {
  readonly name: string
  readonly megabytes: number
  readonly files: number
  readonly rounds: number
  readonly ours: Score
  readonly restic: Score
  /** Restic's median time over ours: above 1 we are faster. */
  readonly ratio: number
  readonly rss_ratio: number
  readonly stored_ratio: number
  readonly goal?: Goal
  /** Only of a full run. */
  readonly verdicts?: {
    readonly time?: Verdict
    readonly memory: Verdict
    readonly stored: Verdict
  }
}

export const caseName = (deed: Deed, data: DataSetName, store: Store) =>
  `${deed}, ${dataSets[data].name}, ${store}`

function scoreOf(samples: readonly Sample[], extent: Extent): Score {
  const middle = (of: (sample: Sample) => number) => median(samples.map(of))
  const seconds = middle((sample) => sample.seconds)
  const mover = samples.every((sample) => sample.moverSeconds !== undefined)
    ? {
        mover_seconds: rounded(
          middle((sample) => sample.moverSeconds!),
          2,
        ),
      }
    : {}
  return {
    seconds: rounded(seconds, 3),
    mb_s: rounded(extent.bytes / MB / seconds, 1),
    rss_mb: rounded(middle((sample) => sample.peakBytes) / MB, 0),
    cpu_s: rounded(
      middle((sample) => sample.cpuSeconds),
      2,
    ),
    stored_mb: rounded(middle((sample) => sample.storedBytes) / MB, 2),
    ...mover,
  }
}

export function casesOf(
  samples: Samples,
  options: { data: DataSetName; store: Store; extent: Extent; judged: boolean },
): Case[] {
  const { data, store, extent, judged } = options
  return [...samples].map(([deed, both]) => {
    const score = (side: Side) => scoreOf(both[side], extent)
    const [ours, restic] = [score('ours'), score('restic')]
    const ratio = rounded(restic.seconds / ours.seconds, 2)
    const rss_ratio = rounded(ours.rss_mb / restic.rss_mb, 2)
    const stored_ratio = rounded(ours.stored_mb / restic.stored_mb, 3)
    const goal = goalOf(deed, data)
    return {
      name: caseName(deed, data, store),
      megabytes: rounded(extent.bytes / MB, 0),
      files: extent.files,
      rounds: Math.min(...sides.map((side) => both[side].length)),
      ours,
      restic,
      ratio,
      rss_ratio,
      stored_ratio,
      ...(goal === undefined ? {} : { goal }),
      ...(judged
        ? {
            verdicts: {
              ...(goal === undefined ? {} : { time: judge(ratio, goal, true) }),
              memory: judge(rss_ratio, memoryGoal, false),
              stored: judge(stored_ratio, storedGoal, false),
            },
          }
        : {}),
    }
  })
}
