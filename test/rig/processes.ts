// Daemons of a test run: started so that they die with us, recognised by more than their number, ended by it.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram, machineEnvironment } from './machine.ts'

/** A process as long as it lives: numbers are used again, start times are not. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks after boot, field 22 of /proc/<pid>/stat. */
  readonly started: string
}

/** The process of that number, or undefined if there is none (or only its zombie). */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the name in parentheses and may itself contain any character.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : { pid, started: fields[19] ?? '' }
  } catch {
    return undefined
  }
}

export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.started === process.started
}

/** Ends a process: asks with SIGTERM, and after `patience` seconds (0: at once) does not ask any more. */
export async function end(target: ProcessIdentity, patience: number): Promise<void> {
  const send = (signal: NodeJS.Signals) => {
    try {
      if (isAlive(target)) process.kill(target.pid, signal)
    } catch {
      // It went between the look and the signal, which is what was wanted.
    }
  }
  const gone = async (seconds: number) => {
    const deadline = performance.now() + seconds * 1000
    while (isAlive(target) && performance.now() < deadline) await sleep(20)
    return !isAlive(target)
  }
  if (patience > 0) {
    send('SIGTERM')
    if (await gone(patience)) return
  }
  send('SIGKILL')
  // A process in uninterruptible sleep goes when its disk answers; half a minute covers a loaded machine.
  if (!(await gone(30))) throw new Error(`process ${target.pid} survived SIGKILL`)
}

/**
 * Kills every process whose command line contains `mark` and all their descendants, without asking. The mark must be
 * unmistakable: the path of a scratch folder that we made.
 */
export async function endMarked(mark: string): Promise<void> {
  const everyone = readdirSync('/proc').flatMap((name) => {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) return []
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      return [{ pid, parent, line: readFileSync(`/proc/${pid}/cmdline`, 'utf8') }]
    } catch {
      return []
    }
  })
  const family = new Set(everyone.filter(({ line }) => line.includes(mark)).map(({ pid }) => pid))
  for (let before = -1; before !== family.size; ) {
    before = family.size
    for (const { pid, parent } of everyone) if (family.has(parent)) family.add(pid)
  }
  const found = [...family].map(identify).filter((one) => one !== undefined)
  await Promise.all(found.map((one) => end(one, 0)))
}

export interface Daemon extends ProcessIdentity {
  readonly name: string
  readonly child: ChildProcess
  /** How it ended, while it runs undefined. */
  ended(): string | undefined
}

/**
 * Starts a program in the background, its output appended to `logFile`.
 *
 * It gets a session of its own, so that Ctrl-C reaches us first and we end it in order; and the kernel sends it
 * SIGTERM should we die without a word (setpriv is part of every Linux with util-linux).
 */
export function startDaemon(name: string, words: string[], logFile: string): Daemon {
  const program = findProgram(name)
  if (program === undefined) throw new Error(`${name} is not installed`)
  const setpriv = findProgram('setpriv')
  const line = [...(setpriv ? [setpriv, '--pdeathsig', 'TERM'] : []), program, ...words]
  const log = openSync(logFile, 'a')
  const child = spawn(line[0] as string, line.slice(1), {
    env: machineEnvironment(),
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  let ended: string | undefined
  child.on('error', (error) => {
    ended ??= error.message
  })
  child.on('exit', (code, signal) => {
    ended ??= signal ?? `exit ${code}`
  })
  child.unref()
  const identity = child.pid === undefined ? undefined : identify(child.pid)
  if (identity === undefined) throw new Error(`${name} did not start: ${ended ?? logTail(logFile)}`)
  return { ...identity, name, child, ended: () => ended }
}

/** The last lines of a log, for an error's text. */
export function logTail(path: string, lines = 6): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return '(no log)'
  }
}

/** Asks again and again until `ready`, a daemon's end, or the deadline; the latter two reject. */
export async function waitUntil(
  what: string,
  seconds: number,
  ready: () => Promise<boolean> | boolean,
  watched: readonly Daemon[] = [],
): Promise<void> {
  const deadline = performance.now() + seconds * 1000
  for (let pause = 10; ; pause = Math.min(pause * 1.5, 250)) {
    if (await ready()) return
    const dead = watched.find((daemon) => daemon.ended() !== undefined)
    if (dead !== undefined) throw new Error(`${dead.name} ended (${dead.ended()}) before ${what}`)
    if (performance.now() > deadline) throw new Error(`waited ${seconds} s for ${what}`)
    await sleep(pause)
  }
}
