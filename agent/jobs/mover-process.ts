// The child process that carries out a batch: started with a bare environment, spoken to in lines.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Readable } from 'node:stream'
import type { Limits } from '../../shared/backup/limits.ts'
import { checkShape } from '../../shared/protocol/wire.ts'
import { createLineWriter, readLines } from '../ipc/lines.ts'
import { type FromMover, fromMover, MAX_LINE, type ToMover } from '../ipc/messages.ts'
import { identifyProcess, type ProcessIdentity } from './process-identity.ts'

/** Bytes of the mover's last words on stderr that are kept for the log. */
const LAST_WORDS = 4_096
/** Below what people run on the host, above nothing: it should finish at night, not starve. */
const USUAL_NICENESS = 10
/** Best effort, last of its eight levels; or only when nobody else wants the disk. */
const IO_ARGUMENTS = { 'best-effort': ['-c', '2', '-n', '7'], idle: ['-c', '3'] } as const

/**
 * What a mover holds are buffers outside the heap. A nursery of 4 MiB saves about 12 MB; and V8, asked to collect often
 * because of those buffers, is not to spread each small collection over four threads that the work needs: marking in
 * one go, on the thread itself, took a sixth of a backup's processor time away.
 */
const NODE_ARGUMENTS = [
  '--max-semi-space-size=4',
  '--single-threaded-gc',
  '--no-incremental-marking',
]

/** What a mover may see of the environment: nothing in it is a secret. */
const PASSED_ON = ['PATH', 'HOME', 'TZ', 'LANG', 'NODE_COMPILE_CACHE']

export interface MoverEnd {
  readonly code: number | null
  readonly signal: string | null
  /** The end of what it wrote to stderr. */
  readonly stderr: string
}

export interface MoverProcess {
  readonly identity: ProcessIdentity | undefined
  send(message: ToMover): Promise<void>
  /** Its messages, until it closes its stdout. Rejects on a line that is none. */
  messages(): AsyncIterable<FromMover>
  kill(): void
  /** Resolves when it is gone. */
  readonly ended: Promise<MoverEnd>
}

/** The programs that lower its priority, where the host has them, in front of Node. */
function commandLine(
  file: string,
  { io = 'best-effort', nice = USUAL_NICENESS }: Limits,
): [command: string, arguments_: string[]] {
  const words: string[] = []
  if (existsSync('/usr/bin/ionice')) words.push('/usr/bin/ionice', ...IO_ARGUMENTS[io])
  if (existsSync('/usr/bin/nice')) words.push('/usr/bin/nice', '-n', String(nice))
  words.push(process.execPath, ...NODE_ARGUMENTS, file)
  return [words[0]!, words.slice(1)]
}

async function lastWords(stderr: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stderr) text = (text + String(chunk)).slice(-LAST_WORDS)
  return text
}

/**
 * Start the mover in `file`, with the priorities of `limits` from its first thread on: on Linux each thread has its
 * own, and hands it down. Rejects if it cannot be started at all.
 */
export async function startMover(
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
  limits: Limits,
): Promise<MoverProcess> {
  const passed = PASSED_ON.flatMap((name) => {
    const value = environment[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  const [command, words] = commandLine(file, limits)
  const child: ChildProcess = spawn(command, words, {
    cwd: '/',
    env: Object.fromEntries(passed),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  const { stdin, stdout, stderr, pid } = child
  const words_ = lastWords(stderr!).catch(() => '')
  const ended = new Promise<MoverEnd>((resolve) => {
    child.once('close', async (code, signal) => {
      resolve({ code, signal, stderr: await words_ })
    })
  })
  const writer = createLineWriter(stdin!, MAX_LINE)
  return {
    identity: identifyProcess(pid!),
    send: (message) => writer.write(JSON.stringify(message)),
    async *messages() {
      for await (const line of readLines(stdout!, MAX_LINE)) {
        yield checkShape(fromMover, JSON.parse(line), 'message')
      }
    },
    kill: () => child.kill('SIGKILL'),
    ended,
  }
}
