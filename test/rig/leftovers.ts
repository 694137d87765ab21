// Whatever a run starts is written down here first and crossed out when it is gone, so that the next run can
// clear away what a killed one left: processes, mounts, bridges, folders.

import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLock } from './locks.ts'
import { cacheDirectory } from './machine.ts'
import { end, endMarked, identify, isAlive, type ProcessIdentity } from './processes.ts'

/** One started part and all that must be undone, in this order. */
export interface Traces {
  readonly what: string
  readonly processes: readonly ProcessIdentity[]
  /** Seconds a process gets to end by itself. */
  readonly patience: number
  /** After that, whatever carries one of these in its command line is killed with its children. */
  readonly marks: readonly string[]
  /** Everything mounted at or below these folders is unmounted. */
  readonly unmount: readonly string[]
  /** Bridges with an address that begins like this are deleted, e.g. `10.213.16.`. */
  readonly bridges: readonly string[]
  /** These folders are deleted. */
  readonly folders: readonly string[]
}

interface LedgerEntry extends Traces {
  readonly owner: ProcessIdentity
}

export const noTraces: Traces = {
  what: '',
  processes: [],
  patience: 0,
  marks: [],
  unmount: [],
  bridges: [],
  folders: [],
}

const ledger = join(cacheDirectory, 'rig')

export interface Remembered {
  /** Replaces what was written down. */
  update(traces: Traces): void
  /** Undoes everything and crosses it out. Safe to call again. */
  clear(): Promise<void>
}

/** Writes down what is about to be started. Call it before the start, and `update` when numbers are known. */
export function remember(first: Traces): Remembered {
  const owner = identify(process.pid)
  if (owner === undefined) throw new Error('the process table is not readable')
  mkdirSync(ledger, { recursive: true })
  const path = join(ledger, `${randomUUID()}.json`)
  let traces = first
  const write = () => {
    const entry: LedgerEntry = { ...traces, owner }
    writeFileSync(`${path}.new`, JSON.stringify(entry))
    // If we die before this line the former entry holds; after it, this one. Never half of one.
    renameSync(`${path}.new`, path)
  }
  write()
  return {
    update(next) {
      traces = next
      write()
    },
    async clear() {
      await undo(traces)
      rmSync(path, { force: true })
    },
  }
}

/**
 * Clears away what dead runs left, and says what it found. Live owners' parts are not touched. One sweep runs at a
 * time on a machine, so that nobody unmounts what a faster one has just started anew.
 */
export async function sweep(say: (sentence: string) => void): Promise<void> {
  if (process.platform !== 'linux') return
  await withLock(ledger, 120, async () => {
    for (const name of entries()) {
      const path = join(ledger, name)
      let entry: LedgerEntry
      try {
        // An older checkout may have written fewer fields.
        entry = { ...noTraces, ...JSON.parse(readFileSync(path, 'utf8')) }
      } catch {
        // A live owner crossed it out, or died before its first line was whole: nothing had started then.
        continue
      }
      if (isAlive(entry.owner)) continue
      say(`clearing what an earlier run left: ${entry.what}`)
      await undo(entry)
      rmSync(path, { force: true })
    }
  })
}

function entries(): string[] {
  try {
    return readdirSync(ledger).filter((name) => name.endsWith('.json'))
  } catch {
    return []
  }
}

async function undo(traces: Traces): Promise<void> {
  await Promise.all(traces.processes.map((target) => end(target, traces.patience)))
  for (const mark of traces.marks) await endMarked(mark)
  for (const folder of traces.unmount) unmountBelow(folder)
  for (const prefix of traces.bridges) deleteBridges(prefix)
  for (const folder of traces.folders)
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}

/** Unmounts whatever is mounted at `folder` or below it, the deepest first. */
export function unmountBelow(folder: string): void {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    // The kernel writes blank, tab, newline and backslash as three octal digits.
    .map((path) =>
      path.replace(/\\(\d{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8))),
    )
    .filter((path) => path === folder || path.startsWith(`${folder}/`))
  for (const path of mounts.reverse()) {
    if (spawnSync('umount', [path]).status === 0) continue
    const lazily = spawnSync('umount', ['--lazy', path], { encoding: 'utf8' })
    if (lazily.status !== 0) throw new Error(`cannot unmount ${path}: ${lazily.stderr.trim()}`)
  }
}

/** Deletes Docker's bridges of an address range. Without `ip` there is nothing that could, and nothing is done. */
function deleteBridges(prefix: string): void {
  const listed = spawnSync('ip', ['-o', '-4', 'addr', 'show'], { encoding: 'utf8' })
  if (listed.status !== 0) return
  for (const line of listed.stdout.split('\n')) {
    const [, name, , address] = line.split(/\s+/)
    if (name?.startsWith('br-') && address?.startsWith(prefix))
      spawnSync('ip', ['link', 'del', name])
  }
}
