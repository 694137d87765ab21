// The tables, for people.
import Table from 'cli-table3'
import { memoryGoal, storedGoal } from './cases.ts'
import type { Floor } from './floor.ts'
import type { Case, Score } from './scores.ts'

/** The floor of one set of data, and how long we took for the same bytes. */
export interface FloorOf {
  readonly data: string
  readonly megabytes: number
  readonly files: number
  readonly programs: readonly Floor[]
}

const timeOf = ({ seconds, mb_s, mover_seconds }: Score) =>
  `${seconds.toFixed(2)} s, ${mb_s} MB/s${mover_seconds === undefined ? '' : ` (mover ${mover_seconds} s)`}`

export function printCases(cases: readonly Case[]): string {
  const table = new Table({
    head: [
      'case',
      'ours',
      'restic',
      'restic/ours',
      'goal, beyond',
      'CPU s: ours, restic',
      `peak MB: ours, restic (≤ ${memoryGoal.goal} ×)`,
      `stored MB: ours, restic (≤ ${storedGoal.goal} ×)`,
    ],
    style: { head: [], border: [] },
    wordWrap: true,
    colWidths: [34, 22, 22, 12, 16, 14, 20, 22],
  })
  for (const one of cases) {
    const { ours, restic, goal, verdicts } = one
    const judged = (verdict: string | undefined) => (verdict === undefined ? '' : `: ${verdict}`)
    table.push([
      `${one.name} (${one.megabytes} MB, ${one.files} files)`,
      timeOf(ours),
      timeOf(restic),
      `${one.ratio.toFixed(2)} ×`,
      goal === undefined ? '-' : `${goal.goal}, ${goal.beyond}${judged(verdicts?.time)}`,
      `${ours.cpu_s}, ${restic.cpu_s}`,
      `${ours.rss_mb}, ${restic.rss_mb} (${one.rss_ratio} ×)${judged(verdicts?.memory)}`,
      `${ours.stored_mb}, ${restic.stored_mb} (${one.stored_ratio} ×)${judged(verdicts?.stored)}`,
    ])
  }
  return table.toString()
}

export function printFloors(floors: readonly FloorOf[], cases: readonly Case[]): string {
  const table = new Table({
    head: ['the same bytes through', 'time', 'CPU s', 'our first backup takes'],
    style: { head: [], border: [] },
  })
  for (const { data, megabytes, files, programs } of floors) {
    const first = cases.find((one) => one.name === `first backup, ${data}, disk`)
    for (const { name, seconds, mb_s, cpu_s } of programs) {
      const times =
        seconds && first ? `${(first.ours.seconds / seconds).toFixed(1)} × as long` : '-'
      const time = seconds === undefined ? '-' : `${seconds.toFixed(2)} s, ${mb_s} MB/s`
      table.push([`${data} (${megabytes} MB, ${files} files): ${name}`, time, cpu_s ?? '-', times])
    }
  }
  return table.toString()
}
