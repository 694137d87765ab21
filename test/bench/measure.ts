// How long a program took, and the most memory it had.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

export interface Measured {
  readonly seconds: number
  /** Highest resident size, in bytes. */
  readonly peakBytes: number
}

/** Time between two looks at /proc, in ms: the kernel keeps the peak, so only the last moments can be missed. */
const LOOK_EVERY = 10

/** `VmHWM` or `VmRSS` of a process in bytes; 0 when it is gone. */
export function memoryOf(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1_024
  } catch {
    return 0
  }
}

/** Looks at whichever process `find` gives until `stop` is called, which answers with the highest peak seen. */
export function watchPeak(find: () => number | undefined): () => number {
  let peak = 0
  const timer = setInterval(() => {
    const pid = find()
    if (pid !== undefined) peak = Math.max(peak, memoryOf(pid, 'VmHWM'))
  }, LOOK_EVERY)
  return () => {
    clearInterval(timer)
    return peak
  }
}

/** Runs a program to its end; rejects with what it complained of. */
export async function measureProgram(
  program: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Measured> {
  const begun = performance.now()
  const child: ChildProcess = spawn(program, words, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4_000)
  })
  const peak = watchPeak(() => child.pid)
  const [code] = (await once(child, 'close')) as [number | null]
  const seconds = (performance.now() - begun) / 1_000
  const peakBytes = peak()
  if (code !== 0) throw new Error(`${program} ${words[0]} ended with ${code}: ${complaint}`)
  return { seconds, peakBytes }
}

/** The middle one; of an even number the lower of the two in the middle. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN
}
