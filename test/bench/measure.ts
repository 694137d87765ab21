// How long a program took, the most memory it had, and the processor time that it and its children used.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

export interface Measured {
  readonly seconds: number
  /** Highest resident size of the process, its threads included, in bytes. */
  readonly peakBytes: number
  /** User and system time of the process and its children, in seconds. */
  readonly cpuSeconds: number
}

/** Time between two looks at /proc, in ms: the kernel keeps the peak, so only the last moments can be missed. */
const LOOK_EVERY = 10
/** Linux counts processor time for programs in hundredths of a second, on every machine. */
const TICKS_PER_SECOND = 100
/** Characters of a failed program's words that are told. */
const KEPT_COMPLAINT = 4_000

/** `VmHWM` or `VmRSS` of a process in bytes; 0 when it is gone. */
export function memoryOf(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1_024
  } catch {
    return 0
  }
}

/** Processor time in seconds of all children of a process that have ended, and of theirs. */
export function childrenCpu(pid: number | 'self'): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold spaces; `cutime` and `cstime` are fields 16 and 17.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND
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

export interface Ran extends Measured {
  readonly stdout: string
}

export interface RunOptions {
  readonly env: NodeJS.ProcessEnv
  /** A descriptor for its stdin; closed here afterwards by whoever opened it. Default: nothing to read. */
  readonly input?: number
}

/** Runs a program to its end, alone: no other child may end meanwhile. Rejects with what it complained of. */
export async function measureProgram(
  program: string,
  words: readonly string[],
  options: RunOptions,
): Promise<Ran> {
  const before = childrenCpu('self')
  const begun = performance.now()
  const child = spawn(program, words, {
    env: options.env,
    stdio: [options.input ?? 'ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let complaint = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-KEPT_COMPLAINT)
  })
  const peak = watchPeak(() => child.pid)
  const [code] = (await once(child, 'close')) as [number | null]
  const seconds = (performance.now() - begun) / 1_000
  const peakBytes = peak()
  if (code !== 0) {
    throw new Error(`${program} ${words.join(' ')} ended with ${code}: ${complaint}${stdout}`)
  }
  return { seconds, peakBytes, cpuSeconds: childrenCpu('self') - before, stdout }
}

/** The middle one; of an even number the lower of the two in the middle. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN
}
