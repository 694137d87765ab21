// The limit of the machine: the same bytes through programs that do one thing each.
import { findProgram, machineEnvironment } from '../rig/machine.ts'
import { measureProgram, median } from './measure.ts'

export interface Floor {
  readonly name: string
  /** Median; undefined where the program is not installed. */
  readonly seconds?: number
  readonly cpu_s?: number
  readonly mb_s?: number
}

const everyByte = 'find "$0" -type f -print0 | sort -z | xargs -0 cat'
const programs = [
  { name: 'find (looks at every file)', needs: 'find', script: 'find "$0" -printf %s%T@' },
  { name: 'cat', needs: 'cat', script: everyByte },
  { name: 'sha256sum', needs: 'sha256sum', script: `${everyByte} | sha256sum` },
  { name: 'zstd -1 -T2', needs: 'zstd', script: `${everyByte} | zstd -q -1 -T2 -c` },
] as const

/** Runs each over all of `tree`, `rounds` times. */
export async function measureFloor(tree: string, bytes: number, rounds: number): Promise<Floor[]> {
  const floors: Floor[] = []
  for (const { name, needs, script } of programs) {
    if (findProgram(needs) === undefined) {
      floors.push({ name: `${name}: not installed` })
      continue
    }
    const runs = []
    for (let i = 0; i < rounds; i++) {
      const words = ['-c', `${script} > /dev/null`, tree]
      runs.push(await measureProgram('sh', words, { env: machineEnvironment() }))
    }
    const seconds = median(runs.map((run) => run.seconds))
    floors.push({
      name,
      seconds: Number(seconds.toFixed(2)),
      cpu_s: Number(median(runs.map((run) => run.cpuSeconds)).toFixed(1)),
      mb_s: Number((bytes / 1_000_000 / seconds).toFixed(1)),
    })
  }
  return floors
}
