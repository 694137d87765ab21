// The mover's side of the hatch: asks with answers, reports, and what the supervisor tells us in between.
import type { Readable, Writable } from 'node:stream'
import type { Limits } from '../../shared/backup/limits.ts'
import { createLineWriter, LineTooLongError, readLines } from '../ipc/lines.ts'
import {
  type AskAnswer,
  type AskName,
  type AskRequest,
  asks,
  type FromMover,
  fromMover,
  MAX_LINE,
  type Start,
  type ToMover,
  toMover,
} from '../ipc/messages.ts'
import { Refusal } from './refusal.ts'

/** What the supervisor sent is not the protocol. Names the rule that was broken, never the value. */
export class HatchError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'HatchError'
  }
}

/** The supervisor is gone: nobody will carry our asks any more. */
export class OrphanedError extends Error {
  constructor() {
    super('the supervisor closed the hatch')
    this.name = 'OrphanedError'
  }
}

export interface Hatch {
  /**
   * Ask the control plane through the supervisor, once. Rejects with `Refusal`, with `OrphanedError`, with
   * `HatchError` for an answer that is none, or with the signal's reason (the late answer is then dropped).
   */
  ask<N extends AskName>(name: N, body: AskRequest<N>, signal?: AbortSignal): Promise<AskAnswer<N>>
  /** Tell the supervisor something. Resolves when it is on its way. */
  tell(message: Exclude<FromMover, { type: 'ask' }>): Promise<void>
}

export interface HatchEvents {
  /** These jobs are to stop and end as cancelled. */
  onCancel(jobs: readonly string[]): void
  /** The lease ended (false), or is back (true). */
  onLease(held: boolean): void
  /** These limits hold from now on. */
  onLimits(limits: Limits): void
}

export interface HatchEnds {
  readonly input: Readable
  readonly output: Writable
}

export interface OpenHatch {
  readonly hatch: Hatch
  /** The first line. Rejects with `HatchError` if it is anything but `start`. */
  readonly start: Promise<Start>
  /** Settles when the other side closed (resolves) or broke the protocol (rejects with `HatchError`). */
  readonly closed: Promise<void>
}

interface Pending {
  readonly name: AskName
  resolve(answer: never): void
  reject(error: Error): void
}

/** Opens the hatch and reads it until its end. */
export function openHatch(ends: HatchEnds, events: HatchEvents): OpenHatch {
  const writer = createLineWriter(ends.output, MAX_LINE)
  const pending = new Map<number, Pending>()
  const started = Promise.withResolvers<Start>()
  let gone: Error | undefined
  let nextAsk = 1
  let begun = false

  async function send(message: FromMover): Promise<void> {
    // Who broke the protocol still gets to hear that it did.
    if (gone !== undefined && (gone instanceof OrphanedError || message.type !== 'log')) throw gone
    const checked = fromMover.safeParse(message)
    if (!checked.success)
      throw new HatchError(`own ${message.type}: ${rules(checked.error.issues)}`)
    await writer.write(JSON.stringify(checked.data))
  }

  function settle(message: Extract<ToMover, { type: 'answer' | 'refusal' }>): void {
    const one = pending.get(message.ask)
    // The asker stopped waiting: its answer means nothing to anyone.
    if (one === undefined) return
    pending.delete(message.ask)
    if (message.type === 'refusal') {
      one.reject(new Refusal(one.name, message.code, message.message, message.retryable))
      return
    }
    const answer = asks[one.name].answer.safeParse(message.body)
    if (answer.success) one.resolve(answer.data as never)
    else one.reject(new HatchError(`answer to ${one.name}: ${rules(answer.error.issues)}`))
  }

  function take(message: ToMover): void {
    if (!begun) {
      if (message.type !== 'start') throw new HatchError('the first line must be start')
      begun = true
      started.resolve(message)
      return
    }
    if (message.type === 'start') throw new HatchError('a second start')
    if (message.type === 'cancel') events.onCancel(message.jobs)
    else if (message.type === 'lease') events.onLease(message.held)
    else if (message.type === 'limits') events.onLimits(message.limits)
    else settle(message)
  }

  async function read(): Promise<void> {
    try {
      for await (const line of readLines(ends.input, MAX_LINE)) take(decode(line))
      gone = new OrphanedError()
    } catch (error) {
      gone =
        error instanceof LineTooLongError || error instanceof HatchError
          ? new HatchError(error.message)
          : new OrphanedError()
    }
    for (const one of pending.values()) one.reject(gone)
    pending.clear()
    started.reject(gone)
    if (gone instanceof HatchError) throw gone
  }

  const closed = read()
  // Both are looked at later or not at all; a rejection must not end the process before its reason is told.
  closed.catch(() => {})
  started.promise.catch(() => {})

  const hatch: Hatch = {
    async ask(name, body, signal) {
      signal?.throwIfAborted()
      const ask = nextAsk++
      const answered = Promise.withResolvers<never>()
      answered.promise.catch(() => {})
      const stop = (): void => {
        pending.delete(ask)
        answered.reject(signal?.reason)
      }
      pending.set(ask, { name, resolve: answered.resolve, reject: answered.reject })
      signal?.addEventListener('abort', stop, { once: true })
      try {
        await send({ type: 'ask', ask, name, body })
        return await answered.promise
      } finally {
        pending.delete(ask)
        signal?.removeEventListener('abort', stop)
      }
    },
    tell: send,
  }
  return { hatch, start: started.promise, closed }
}

function decode(line: string): ToMover {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new HatchError('a line is not JSON')
  }
  const message = toMover.safeParse(value)
  if (!message.success) throw new HatchError(rules(message.error.issues))
  return message.data
}

/** Which fields broke which rule. Values stay out: the first line holds secrets. */
function rules(issues: readonly { path: PropertyKey[]; message: string }[]): string {
  return issues
    .slice(0, 5)
    .map((issue) => `${issue.path.map(String).join('.') || 'line'}: ${issue.message}`)
    .join('; ')
}
