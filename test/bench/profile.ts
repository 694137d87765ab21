// Where the time goes: the CPU profiles of one run, main thread and workers, added up by function and by file.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../rig/machine.ts'

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: {
      readonly functionName: string
      readonly url: string
      readonly lineNumber: number
    }
  }[]
  readonly samples: readonly number[]
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[]
}

/** Lines of each list that are told. */
const TOLD = 18
/** Shares below this are left out. */
const LEAST_SHARE = 0.002

/** One text for all profiles in `folder`. Idle time is told apart, so that shares are those of work. */
export function summarise(folder: string): string {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .sort()
  return names
    .map((name) => {
      const profile = JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile
      // CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile; the main thread is 0.
      const thread = name.split('.').at(-3)
      return summariseThread(thread === '0' ? 'main thread' : `worker ${thread}`, profile)
    })
    .join('\n')
}

function summariseThread(thread: string, { nodes, samples, timeDeltas }: CpuProfile): string {
  const frames = new Map(nodes.map((node) => [node.id, node.callFrame]))
  const functions = new Map<string, number>()
  const files = new Map<string, number>()
  let busy = 0
  let idle = 0
  for (const [i, id] of samples.entries()) {
    const milliseconds = (timeDeltas[i] ?? 0) / 1_000
    const { functionName, url, lineNumber } = frames.get(id)!
    if (functionName === '(idle)') {
      idle += milliseconds
      continue
    }
    busy += milliseconds
    const file = placeOf(url)
    const name = functionName === '' ? `(anonymous, line ${lineNumber + 1})` : functionName
    const whole = file === '' ? name : `${name} in ${file}`
    functions.set(whole, (functions.get(whole) ?? 0) + milliseconds)
    const room = file === '' ? functionName : file
    files.set(room, (files.get(room) ?? 0) + milliseconds)
  }
  const lines = (sums: Map<string, number>) =>
    [...sums]
      .filter(([, sum]) => sum / busy >= LEAST_SHARE)
      .toSorted((a, b) => b[1] - a[1])
      .slice(0, TOLD)
      .map(([name, sum]) => `  ${share(sum, busy)} ${sum.toFixed(0).padStart(6)} ms  ${name}`)
  return [
    `${thread}: ${busy.toFixed(0)} ms busy, ${idle.toFixed(0)} ms idle`,
    ' by file:',
    ...lines(files),
    ' by function (its own time):',
    ...lines(functions),
    '',
  ].join('\n')
}

const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`.padStart(7)

function placeOf(url: string): string {
  const path = url.replace(/^file:\/\//, '')
  return path.startsWith(projectRoot) ? path.slice(projectRoot.length + 1) : path
}
