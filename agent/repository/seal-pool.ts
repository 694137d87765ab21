// The threads of a writer, and the queue before them. Without threads, the same work is done at once.
import { Worker } from 'node:worker_threads'
import type { SealingKey } from './cipher.ts'
import { RepositoryError } from './errors.ts'
import { type Answers, handedOver, type Outcome, SealBench, type Work } from './seal-work.ts'

/** What is nearer to the store goes first: it frees memory. */
const kinds = ['name', 'seal', 'hash'] as const
/** Work given to a thread at a time, so that it need not wait for us after each piece. */
const ahead = 2
/** Bytes worked on by the main thread before any thread is started: most unchanged runs need none. */
const beforeThreads = 2 * 1024 * 1024
/**
 * Heap of a thread, MB: what it holds are buffers outside of it. Its code takes about 10 MB more (40 where Node has to
 * strip types first, which kept compiled code saves).
 */
const limits = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 }

interface Task {
  readonly work: Work
  resolve(done: never): void
  reject(error: unknown): void
}

interface Thread {
  readonly worker: Worker
  /** Given to it and not answered, oldest first. */
  readonly tasks: Task[]
}

export class SealPool {
  readonly #key: SealingKey
  readonly #waiting: { readonly [kind in Work['kind']]: Task[] } = { name: [], seal: [], hash: [] }
  readonly #threads: Thread[] = []
  readonly #ending = new Set<Promise<unknown>>()
  #bench: SealBench | undefined
  #count: number
  #worked = 0
  #failure: RepositoryError | undefined
  /** Called when threads run short of work. */
  onIdle: (() => void) | undefined

  constructor(key: SealingKey, count: number) {
    this.#key = key
    this.#count = count
  }

  /** Whether more work would have to wait. */
  get isBusy(): boolean {
    if (this.#count === 0 || this.#worked < beforeThreads) return false
    if (kinds.some((kind) => this.#waiting[kind].length > 0)) return true
    const given = this.#threads.reduce((sum, thread) => sum + thread.tasks.length, 0)
    return given >= this.#count
  }

  /** Have something done. Rejects with `self-check-failed` or, if a thread is lost, `worker-lost`. */
  do<K extends Work['kind']>(work: Extract<Work, { kind: K }>): Promise<Answers[K]> {
    return new Promise<Answers[K]>((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure)
      this.#waiting[work.kind].push({ work, resolve, reject })
      this.#next()
    })
  }

  /** From now on `count` threads work; 0 leaves everything to the main thread. What was begun is finished. */
  setThreads(count: number): void {
    this.#count = count
    this.#next()
  }

  /** End all threads. Work that was not answered rejects; later work would start threads again. */
  async close(): Promise<void> {
    this.#rejectAll(lost('the writer was closed'))
    await Promise.all(this.#ending)
  }

  #next(): void {
    if (this.#failure !== undefined) {
      this.#rejectAll(this.#failure)
      return
    }
    while (this.#threads.length > this.#count) {
      const idle = this.#threads.findIndex((thread) => thread.tasks.length === 0)
      if (idle < 0) break
      this.#end(this.#threads.splice(idle, 1)[0]!)
    }
    for (let task = this.#peek(); task !== undefined; task = this.#peek()) {
      if (this.#count === 0 || this.#worked < beforeThreads) {
        this.#take()
        this.#worked += sizeOf(task.work)
        this.#bench ??= new SealBench(this.#key)
        settle(task, this.#bench.do(task.work))
        continue
      }
      const thread = this.#freest()
      if (thread === undefined) return
      this.#take()
      thread.tasks.push(task)
      if (thread.tasks.length === 1) thread.worker.ref()
      thread.worker.postMessage(task.work, handedOver(task.work))
    }
  }

  #peek(): Task | undefined {
    for (const kind of kinds) if (this.#waiting[kind].length > 0) return this.#waiting[kind][0]
    return undefined
  }

  #take(): void {
    for (const kind of kinds) if (this.#waiting[kind].shift() !== undefined) return
  }

  /** The thread with the least to do, a new one if there may be one; undefined if all have enough. */
  #freest(): Thread | undefined {
    const able = this.#threads.slice(0, this.#count)
    const idle = able.find((thread) => thread.tasks.length === 0)
    if (idle !== undefined) return idle
    if (this.#threads.length < this.#count) return this.#start()
    return able.find((thread) => thread.tasks.length < ahead)
  }

  #start(): Thread {
    const worker = new Worker(new URL('./seal-thread.ts', import.meta.url), {
      workerData: this.#key,
      resourceLimits: limits,
    })
    const thread: Thread = { worker, tasks: [] }
    worker.unref() // idle threads keep no process alive
    worker.on('message', (outcome: Outcome) => {
      const task = thread.tasks.shift()!
      if (thread.tasks.length === 0) worker.unref()
      settle(task, outcome)
      this.#next()
      if (!this.isBusy) this.onIdle?.()
    })
    const fail = (cause?: Error) => {
      if (!this.#threads.includes(thread)) return // it was told to end
      this.#failure ??= lost('a thread of the writer ended', cause)
      this.#rejectAll(this.#failure)
    }
    worker.on('error', fail)
    worker.on('exit', () => fail())
    this.#threads.push(thread)
    return thread
  }

  #end(thread: Thread): void {
    const ended = thread.worker.terminate().finally(() => this.#ending.delete(ended))
    this.#ending.add(ended)
  }

  #rejectAll(error: RepositoryError): void {
    for (const kind of kinds) for (const task of this.#waiting[kind].splice(0)) task.reject(error)
    for (const thread of this.#threads.splice(0)) {
      for (const task of thread.tasks) task.reject(error)
      this.#end(thread)
    }
  }
}

function settle(task: Task, outcome: Outcome): void {
  if ('done' in outcome) task.resolve(outcome.done as never)
  else task.reject(new RepositoryError(outcome.code, outcome.message))
}

function sizeOf(work: Work): number {
  if (work.kind === 'name') return work.length
  return work.spans.reduce((sum, value, i) => (i % 2 === 1 ? sum + value : sum), 0)
}

function lost(message: string, cause?: unknown): RepositoryError {
  return new RepositoryError('worker-lost', message, cause === undefined ? undefined : { cause })
}
