// A supervisor for one mover: starts the real process, answers its questions from a fake plane, keeps what it said.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { createLineWriter, readLines } from '../../agent/ipc/lines.ts'
import {
  type AskName,
  asks,
  type FromMover,
  fromMover,
  MAX_LINE,
  type PreparedJob,
  type Start,
} from '../../agent/ipc/messages.ts'
import type { JobParameters } from '../../shared/backup/job.ts'
import type { Limits } from '../../shared/backup/limits.ts'
import type { AssignedJob } from '../../shared/protocol/from-control.ts'
import { type FakePlane, Refused } from './fake-plane.ts'

export type Done = Extract<FromMover, { type: 'done' }>

/** A host with one repository, as its supervisor knows it. */
export interface Host {
  readonly password: string
  readonly recovery: { identity: string; recipient: string }
  readonly own: { identity: string; recipient: string }
  readonly repository: string
  readonly host: string
  readonly state: string
}

export function uuid(): string {
  const b = randomBytes(16)
  b[6] = (b[6]! & 0x0f) | 0x70
  b[8] = (b[8]! & 0x3f) | 0x80
  const h = b.toString('hex')
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`
}

export async function makeHost(state: string): Promise<Host> {
  const pair = async () => {
    const identity = await generateX25519Identity()
    return { identity, recipient: await identityToRecipient(identity) }
  }
  return {
    password: randomBytes(32).toString('base64url'),
    recovery: await pair(),
    own: await pair(),
    repository: uuid(),
    host: uuid(),
    state,
  }
}

export interface JobWish {
  readonly parameters: JobParameters
  readonly prepared?: Omit<PreparedJob, 'job' | 'idShift'>
  readonly id?: string
  readonly attempt?: number
}

export interface Driven {
  readonly done: readonly Done[]
  readonly logs: readonly Extract<FromMover, { type: 'log' }>[]
  readonly progress: readonly Extract<FromMover, { type: 'progress' }>[]
  readonly released: readonly string[]
  /** Everything the mover wrote to stdout, as text. */
  readonly said: string
  readonly stderr: string
  readonly code: number | null
  readonly signal: string | null
  /** Highest resident size seen, in bytes. */
  readonly peakBytes: number
  readonly milliseconds: number
}

export interface Driving {
  readonly jobs: readonly string[]
  kill(): void
  /** Closes the mover's stdin, as a supervisor that dies. */
  leave(): void
  cancel(...jobs: string[]): void
  lease(held: boolean): void
  limits(limits: Limits): void
  readonly pid: number
  readonly ended: Promise<Driven>
}

const moverFile = new URL('../../agent/mover/main.ts', import.meta.url).pathname

export function startMover(
  host: Host,
  plane: FakePlane,
  wishes: readonly JobWish[],
  change: Partial<Start> = {},
): Driving {
  const assigned = wishes.map(
    ({ parameters, id = uuid(), attempt = 1 }): AssignedJob => ({
      id,
      attempt,
      fence: attempt,
      parameters,
    }),
  )
  const start: Start = {
    type: 'start',
    batch: uuid(),
    host: host.host,
    repository: {
      id: host.repository,
      hostname: 'web-1',
      epoch: plane.epoch.value,
      ready: true,
      foreign: false,
    },
    jobs: assigned,
    prepared: wishes.map((wish, i) => ({ job: assigned[i]!.id, idShift: 0, ...wish.prepared })),
    password: host.password,
    recoveryRecipient: host.recovery.recipient,
    recipient: host.own.recipient,
    paths: { cache: join(host.state, 'cache'), work: join(host.state, 'work') },
    network: {},
    ...change,
  }
  const begun = performance.now()
  // As the supervisor starts it, but for nice and ionice.
  const child = spawn(process.execPath, ['--max-semi-space-size=4', moverFile], {
    env: { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: join(host.state, 'code') },
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const writer = createLineWriter(child.stdin, MAX_LINE)
  const send = (message: unknown) => writer.write(JSON.stringify(message)).catch(() => {})
  const done: Done[] = []
  const logs: Driven['logs'][number][] = []
  const progress: Driven['progress'][number][] = []
  const released: string[] = []
  let said = ''
  let stderr = ''
  let peakBytes = 0
  const watch = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      const peak = /VmHWM:\s+(\d+) kB/.exec(status)?.[1]
      peakBytes = Math.max(peakBytes, Number(peak ?? 0) * 1024)
    } catch {
      // It just ended.
    }
  }, 50)

  async function answer(ask: number, name: AskName, body: unknown): Promise<void> {
    try {
      const request = asks[name].request.parse(body)
      const answered = await plane.answer(name, request as never)
      await send({ type: 'answer', ask, body: answered })
    } catch (error) {
      const refused =
        error instanceof Refused ? error : new Refused('internal', `test plane: ${String(error)}`)
      const { code, message, retryable } = refused
      await send({ type: 'refusal', ask, code, message, retryable })
    }
  }

  async function listen(): Promise<void> {
    for await (const line of readLines(child.stdout, MAX_LINE)) {
      said += `${line.slice(0, 10_000)}\n`
      const message = fromMover.parse(JSON.parse(line))
      if (message.type === 'ask') void answer(message.ask, message.name, message.body)
      else if (message.type === 'done') done.push(message)
      else if (message.type === 'log') logs.push(message)
      else if (message.type === 'progress') progress.push(message)
      else released.push(message.job)
      // Nothing is left to do: a supervisor then expects the mover to end by itself.
    }
  }
  child.stderr.on('data', (part) => {
    stderr += part
  })
  void send(start)
  const listening = listen()
  const ended = new Promise<Driven>((resolve, reject) => {
    child.on('close', (code, signal) => {
      clearInterval(watch)
      const milliseconds = performance.now() - begun
      listening.then(
        () =>
          resolve({
            done,
            logs,
            progress,
            released,
            said,
            stderr,
            code,
            signal,
            peakBytes,
            milliseconds,
          }),
        reject,
      )
    })
  })
  return {
    jobs: assigned.map((job) => job.id),
    kill: () => child.kill('SIGKILL'),
    leave: () => child.stdin.end(),
    cancel: (...jobs) => void send({ type: 'cancel', jobs }),
    lease: (held) => void send({ type: 'lease', held }),
    limits: (limits) => void send({ type: 'limits', limits }),
    pid: child.pid ?? 0,
    ended,
  }
}

export function runMover(
  host: Host,
  plane: FakePlane,
  wishes: readonly JobWish[],
  change: Partial<Start> = {},
): Promise<Driven> {
  return startMover(host, plane, wishes, change).ended
}

/** A backup of a volume whose content lies at `path`. */
export function backupOf(
  name: string,
  path: string,
  more: Partial<JobWish> & { parent?: string } = {},
): JobWish {
  const { parent, ...rest } = more
  return {
    parameters: {
      kind: 'backup',
      source: { kind: 'volume', name },
      time: new Date().toISOString(),
      ...(parent === undefined ? {} : { parent }),
      tags: ['policy:nightly'],
      volatile: [],
      readAll: false,
    },
    prepared: { path },
    ...rest,
  }
}

export function pruneOf(
  limits: { maxRepackBytes?: number; maxSeconds?: number; maxUnusedPercent?: number } = {},
): JobWish {
  const { maxRepackBytes = 2 ** 40, maxSeconds = 3_600, maxUnusedPercent = 0 } = limits
  return { parameters: { kind: 'prune', maxRepackBytes, maxSeconds, maxUnusedPercent } }
}

export function restoreOf(snapshot: string, name: string, path: string): JobWish {
  return {
    parameters: {
      kind: 'restore',
      snapshot,
      source: { kind: 'volume', name },
      target: { kind: 'directory', path },
      paths: [],
    },
    prepared: { path },
  }
}
