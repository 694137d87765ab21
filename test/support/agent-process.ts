// A real agent as a child process, enrolled with a plane, in a state directory of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ScriptedPlane } from './scripted-plane.ts'

const mainFile = fileURLToPath(new URL('../../agent/main.ts', import.meta.url))
const scriptedFile = fileURLToPath(
  new URL('../fixtures/agent-with-scripted-mover.ts', import.meta.url),
)

/** A recipient whose secret key nobody has. */
export const RECOVERY = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

type Environment = Record<string, string | undefined>

/** Nothing of the test's own environment but the path; no Docker unless a test names one. */
function environmentOf(more: Environment): Record<string, string> {
  const all: Environment = {
    PATH: process.env.PATH,
    DOCKER_HOST: 'unix:///nonexistent/docker.sock',
    ...more,
  }
  return Object.fromEntries(
    Object.entries(all).flatMap(([k, v]) => (v === undefined ? [] : [[k, v]])),
  )
}

/** Runs `holdfast-agent` with `words` to its end. */
export async function agentCommand(
  words: readonly string[],
  options: { input?: string; env?: Environment } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [mainFile, ...words], {
    env: environmentOf(options.env ?? {}),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (part) => {
    stdout += part
  })
  child.stderr.on('data', (part) => {
    stderr += part
  })
  child.stdin.on('error', () => {}).end(options.input ?? '')
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

export function makeStateDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'holdfast-agent-'))
}

/** Enrols a new host with the plane; resolves with its state directory. */
export async function enrolHost(
  plane: ScriptedPlane,
  options: { env?: Environment; words?: string[] } = {},
): Promise<string> {
  const state = makeStateDirectory()
  const words = ['enroll', '--url', plane.origin, '--name', 'web-1', '--state', state]
  const ended = await agentCommand([...words, ...(options.words ?? ['--recovery', RECOVERY])], {
    input: `${plane.token}\n`,
    env: options.env ?? {},
  })
  if (ended.code !== 0) throw new Error(`enrolment failed: ${ended.stderr}`)
  const rules = { directories: [tmpdir()], restoreDirectories: ['/'], inPlace: true }
  writeFileSync(join(state, 'host.yaml'), JSON.stringify(rules))
  return state
}

export interface RunningAgent {
  readonly child: ChildProcess
  readonly pid: number
  /** Everything it wrote so far. */
  readonly output: () => string
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
}

/** Starts `run`; with scripted movers unless `realMover`. `through` is a program that becomes it, e.g. `unshare`. */
export function startAgent(
  state: string,
  options: { env?: Environment; realMover?: boolean; through?: readonly string[] } = {},
): RunningAgent {
  const words = options.realMover ? [mainFile, 'run', '--state', state] : [scriptedFile, state]
  const [program, ...line] = [...(options.through ?? []), process.execPath, ...words]
  const child = spawn(program!, line, {
    env: environmentOf(options.env ?? {}),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', (part) => {
      output += part
    })
  }
  const gone = once(child, 'close') as Promise<[number | null]>
  return {
    child,
    pid: child.pid!,
    output: () => output,
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
    async stop() {
      child.kill('SIGTERM')
      return (await gone)[0]
    },
  }
}

export function removeState(state: string): void {
  rmSync(state, { recursive: true, force: true })
}

/** Waits until `condition` holds; fails with `what` after `seconds`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  seconds = 15,
): Promise<void> {
  const ends = performance.now() + seconds * 1_000
  while (!(await condition())) {
    if (performance.now() > ends) throw new Error(`not within ${seconds} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
