// What is measured, on which data and store, and what is asked of it.
import type { DataSetName } from './data-sets.ts'

export type Deed =
  | 'first backup'
  | 'stream'
  | 'unchanged run'
  | '1 % changed'
  | 'restore'
  | 'verify'
export type Store = 'disk' | 'rgw'

/** Deeds done one after the other on the same repositories, which hold nothing before. */
export interface Plan {
  readonly data: DataSetName
  readonly deeds: readonly Deed[]
  readonly stores: readonly Store[]
  /** Too large for a quick run. */
  readonly fullOnly?: true
}

/**
 * In an order that makes each set of data once. What runs on the bucket are the deeds in which the way to the
 * store counts; the rest would only repeat what the directory has shown, and the whole has to end within an hour.
 */
export const plans: readonly Plan[] = [
  {
    data: 'mixed',
    deeds: ['first backup', 'restore', 'verify', '1 % changed'],
    stores: ['disk', 'rgw'],
  },
  { data: 'sql', deeds: ['first backup'], stores: ['disk'] },
  { data: 'sql', deeds: ['stream'], stores: ['disk'] },
  { data: 'noise', deeds: ['first backup'], stores: ['disk'] },
  { data: 'files', deeds: ['first backup', 'unchanged run'], stores: ['disk', 'rgw'] },
  { data: 'million', deeds: ['unchanged run'], stores: ['disk'], fullOnly: true },
]

/** Restic's median time over ours. */
export interface Goal {
  readonly goal: number
  readonly beyond: number
}

const goals: { readonly [deed in Deed]?: { readonly [data in DataSetName]?: Goal } } = {
  'first backup': {
    mixed: { goal: 1.4, beyond: 2 },
    sql: { goal: 1.6, beyond: 2.2 },
    noise: { goal: 1.5, beyond: 2 },
    files: { goal: 1.3, beyond: 1.8 },
  },
  stream: { sql: { goal: 1.4, beyond: 2 } },
  'unchanged run': { files: { goal: 1.5, beyond: 3 } },
  '1 % changed': { mixed: { goal: 1.5, beyond: 3 } },
  restore: { mixed: { goal: 1.3, beyond: 1.8 } },
  verify: { mixed: { goal: 1.3, beyond: 2 } },
}

export const goalOf = (deed: Deed, data: DataSetName): Goal | undefined => goals[deed]?.[data]
/** Our peak memory over restic's, in every case. */
export const memoryGoal: Goal = { goal: 1.5, beyond: 1 }
/** Our stored bytes over restic's, in every case that stores. */
export const storedGoal: Goal = { goal: 1.02, beyond: 1 }

export type Verdict = 'beyond' | 'met' | 'NOT met'

/** `more`: a larger value is better. */
export function judge(value: number, { goal, beyond }: Goal, more: boolean): Verdict {
  const reaches = (mark: number) => (more ? value >= mark : value <= mark)
  return reaches(beyond) ? 'beyond' : reaches(goal) ? 'met' : 'NOT met'
}
