// Every call by which a run in this process touches files, counted; any of them may fail, or be the last.
//
// To be imported before whatever is to be instrumented: it takes the place of Node's file calls and of those bound
// through koffi.
import { AsyncLocalStorage } from 'node:async_hooks'
import fs from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { constants } from 'node:os'
import koffi from 'koffi'

/** What befalls one call. `before`: it does not happen; `after`: it does, and nobody hears of it. */
export interface DiskFault {
  /** The number of the call, from 0. */
  readonly at: number
  readonly what: 'kill' | 'EIO' | 'ENOSPC'
  readonly when: 'before' | 'after'
}

/** A call of a run: those that change something can fail in more ways. */
export interface Step {
  readonly name: string
  readonly changes: boolean
}

export type Ran<T> =
  | { readonly ended: 'killed' }
  | { readonly ended: 'failed'; readonly error: unknown }
  | { readonly ended: 'resolved'; readonly value: T }

class Killed extends Error {}

class Run {
  readonly steps: Step[] = []
  readonly fault: DiskFault | undefined
  readonly killed = Promise.withResolvers<void>()
  dead = false
  /** Calls that the kernel is still busy with. */
  pending = 0
  /** What is open: the kernel closes it for a process that is killed, here we do. */
  readonly descriptors = new Set<number>()
  readonly handles = new Set<promises.FileHandle>()

  constructor(fault: DiskFault | undefined) {
    this.fault = fault
  }

  /** The fault of the next call, if it is its turn. */
  next(name: string, changes: boolean): DiskFault | undefined {
    if (this.dead) throw new Killed()
    const at = this.steps.push({ name, changes }) - 1
    return this.fault?.at === at ? this.fault : undefined
  }

  die(): Killed {
    this.dead = true
    this.killed.resolve()
    return new Killed()
  }
}

const runs = new AsyncLocalStorage<Run>()

/**
 * Run `work` with a fault, or without any. A killed run stands still: nothing it does from then on reaches
 * the disk, not even what it would clear away.
 */
export async function onDisk<T>(
  fault: DiskFault | undefined,
  work: () => Promise<T>,
): Promise<Ran<T> & { readonly steps: readonly Step[]; readonly leftOpen: number }> {
  const run = new Run(fault)
  const working = runs.run(run, async (): Promise<Ran<T>> => {
    try {
      return { ended: 'resolved', value: await work() }
    } catch (error) {
      return { ended: 'failed', error }
    }
  })
  const dying = run.killed.promise.then((): Ran<T> => ({ ended: 'killed' }))
  const ran = await Promise.race([dying, working])
  while (run.pending > 0) await new Promise<void>((resolve) => setImmediate(resolve))
  if (run.dead) {
    for (const fd of run.descriptors) fs.closeSync(fd)
    for (const handle of run.handles) await handle.close().catch(() => {})
  }
  const leftOpen = run.dead ? 0 : run.descriptors.size
  return { ...(run.dead ? { ended: 'killed' as const } : ran), steps: run.steps, leftOpen }
}

function failure(what: 'EIO' | 'ENOSPC', syscall: string): NodeJS.ErrnoException {
  const errno = -constants.errno[what]
  return Object.assign(new Error(`${what}: injected, ${syscall}`), { code: what, errno, syscall })
}

type Call = (...words: never[]) => unknown

/** No power is cut here, only processes end: what a sync would add is time. It is a step like any other. */
const instead: Readonly<Record<string, Call>> = {
  fsyncSync: () => undefined,
  sync: async () => undefined,
  datasync: async () => undefined,
}

/** As `call`, step by step, for calls that answer at once. */
function sync(name: string, changes: boolean, call: Call): Call {
  return function (this: unknown, ...words: never[]) {
    const run = runs.getStore()
    if (run === undefined) return call.apply(this, words)
    const fault = run.next(name, changes)
    if (fault?.when === 'before') {
      throw fault.what === 'kill' ? run.die() : failure(fault.what, name)
    }
    let answer: unknown
    try {
      answer = call.apply(this, words)
    } catch (error) {
      // What did not work did not happen; a process can die of it all the same.
      throw fault?.what === 'kill' ? run.die() : error
    }
    const opened = (name === 'openSync' || name === 'openat') && (answer as number) >= 0
    if (opened) run.descriptors.add(answer as number)
    if (fault === undefined) return answer
    // Nobody hears of this descriptor; the file it may have made is there.
    if (opened) fs.closeSync(answer as number)
    throw fault.what === 'kill' ? run.die() : failure(fault.what, name)
  }
}

/** As `call`, for calls that answer with a promise. The dead hear no answer. */
function promised(name: string, changes: boolean, call: Call): Call {
  return async function (this: unknown, ...words: never[]) {
    const run = runs.getStore()
    if (run === undefined) return call.apply(this, words)
    if (run.dead) return new Promise(() => {})
    const fault = run.next(name, changes)
    const strike = () => {
      if (fault!.what !== 'kill') throw failure(fault!.what, name)
      run.die()
      return new Promise(() => {})
    }
    if (fault?.when === 'before') return strike()
    run.pending++
    try {
      const answer = await call.apply(this, words)
      if (name === 'open') {
        run.handles.add(answer as promises.FileHandle)
        if (fault !== undefined) await (answer as promises.FileHandle).close()
      }
      if (run.dead) return new Promise(() => {})
      return fault === undefined ? answer : strike()
    } finally {
      run.pending--
    }
  }
}

/** As `call`, whose last word is a callback with an error first. */
function calling(name: string, changes: boolean, call: Call): Call {
  const asked = promised(name, changes, function (this: unknown, ...words: never[]) {
    return new Promise((resolve, reject) => {
      const done = (error: unknown, answer: unknown) => (error ? reject(error) : resolve(answer))
      call.apply(this, [...words, done] as never[])
    })
  })
  return function (this: unknown, ...words: never[]) {
    const callback = words.pop() as unknown as (error: unknown, answer?: unknown) => void
    const answered = asked.apply(this, words) as Promise<unknown>
    answered.then((answer) => callback(null, answer), callback)
  }
}

const reading =
  'openSync readSync readdirSync lstatSync statSync fstatSync readlinkSync readFileSync'.split(' ')
const changing =
  'writeSync ftruncateSync fchmodSync fchownSync lchownSync chmodSync linkSync symlinkSync unlinkSync mkdirSync renameSync fsyncSync writeFileSync'.split(
    ' ',
  )
const own = fs as unknown as Record<string, Call>
for (const name of reading) own[name] = sync(name, false, own[name]!)
for (const name of changing) own[name] = sync(name, true, instead[name] ?? own[name]!)
const close = fs.closeSync
fs.closeSync = (fd) => {
  close(fd)
  runs.getStore()?.descriptors.delete(fd)
}
own.read = calling('read', false, own.read!)
own.write = calling('write', true, own.write!)

const async = promises as unknown as Record<string, Call>
for (const name of 'readdir lstat stat readFile'.split(' ')) {
  async[name] = promised(name, false, async[name]!)
}
for (const name of 'open link rename rm mkdir writeFile unlink'.split(' ')) {
  async[name] = promised(name, true, async[name]!)
}
const handle = await promises.open('/dev/null')
const methods = Object.getPrototypeOf(handle) as Record<string, Call>
for (const name of 'read stat'.split(' ')) methods[name] = promised(name, false, methods[name]!)
for (const name of 'write writeFile sync datasync'.split(' ')) {
  methods[name] = promised(name, true, instead[name] ?? methods[name]!)
}
await handle.close()
syncBuiltinESMExports()

/** System calls bound through koffi that touch files, and whether they change any. */
const native: Readonly<Record<string, boolean>> = {
  openat: true,
  mkdirat: true,
  mknod: true,
  futimens: true,
  utimensat: true,
  fsetxattr: true,
  lsetxattr: true,
  fremovexattr: true,
  lremovexattr: true,
  fallocate: true,
  syncfs: true,
  llistxattr: false,
  lgetxattr: false,
  flistxattr: false,
  statx: false,
  lseek: false,
}

/** What a sync does here: see `instead`. */
const nothing: Call = (...words) => {
  const done = words.at(-1) as unknown as (error: null, answer: number) => void
  setImmediate(done, null, 0)
}

type Native = ((...words: never[]) => unknown) & { async: Call }
const load = koffi.load.bind(koffi)
koffi.load = (path, ...rest) => {
  const library = load(path, ...rest)
  const bind = library.func.bind(library) as (...words: never[]) => Native
  const instrumented = (...words: never[]): Native => {
    const call = bind(...words)
    const name = words[0] as unknown as string
    const changes = native[name]
    if (changes === undefined) return call
    const answering = sync(name, changes, call)
    /** C says −1 and leaves the cause in errno. */
    const inC = (...values: never[]) => {
      try {
        return answering(...values)
      } catch (error) {
        const { errno } = error as NodeJS.ErrnoException
        if (errno === undefined) throw error
        koffi.errno(-errno)
        return -1
      }
    }
    const aside = calling(name, changes, name === 'syncfs' ? nothing : (call.async as Call))
    return Object.assign(inC, { async: aside }) as unknown as Native
  }
  return Object.create(library, { func: { value: instrumented } })
}
