// The two programs `holdfast up` looks after, as child processes that are started again when they die.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

export interface Program {
  /** For messages: "control plane", "agent". */
  readonly name: string
  /** Entry file, run by this process's own Node. */
  readonly file: string
  readonly arguments: readonly string[]
  /** The whole environment of the child. */
  readonly environment: Readonly<Record<string, string>>
}

/** First wait before a dead child is started again, and the longest, in ms. */
const FIRST_PAUSE = 500
const LONGEST_PAUSE = 30_000

/** A child that lived this long was healthy: the wait starts small again. In ms. */
const HEALTHY = 60_000

/** How long a child may take to stop by itself before it is killed, in ms: a mover releases its lock first. */
const STOP_PATIENCE = 20_000

/** Runs the program until `signal` is aborted; resolves when it is really gone. */
export async function keepRunning(
  program: Program,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  let pause = FIRST_PAUSE
  while (!signal.aborted) {
    const begun = performance.now()
    const child = start(program)
    const stop = () => void end(child)
    signal.addEventListener('abort', stop, { once: true })
    const [code, killedBy] = (await once(child, 'exit')) as [number | null, string | null]
    signal.removeEventListener('abort', stop)
    if (signal.aborted) return
    if (performance.now() - begun > HEALTHY) pause = FIRST_PAUSE
    say(
      `the ${program.name} ended (${killedBy ?? `exit ${code}`}); starting it again in ${pause / 1_000} s`,
    )
    await delay(pause, undefined, { signal }).catch(() => undefined)
    pause = Math.min(pause * 2, LONGEST_PAUSE)
  }
}

/**
 * Runs the program once to its end; `input` goes to its stdin. Its stdout is returned, its stderr passed on.
 */
export async function runOnce(
  program: Program,
  input: string,
): Promise<{ code: number; stdout: string }> {
  const child = spawn(process.execPath, [program.file, ...program.arguments], {
    env: program.environment,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stdin.on('error', () => undefined).end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code: code ?? 1, stdout }
}

/** stdout stays ours: what a child prints there is shown on stderr with its log. */
function start(program: Program): ChildProcess {
  return spawn(process.execPath, [program.file, ...program.arguments], {
    env: program.environment,
    stdio: ['ignore', 2, 2],
  })
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_PATIENCE)
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  clearTimeout(timer)
}
