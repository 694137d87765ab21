import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readLines } from '../ipc/lines.ts'
import { type FromMover, fromMover, MAX_LINE } from '../ipc/messages.ts'
import { HatchError, OrphanedError, openHatch } from './hatch.ts'
import { Refusal } from './refusal.ts'

const id = '018f3c3e-0000-7000-8000-000000000001'
const start = {
  type: 'start',
  batch: id,
  host: id,
  repository: { id, hostname: 'web-1', epoch: 0, ready: true, foreign: false },
  jobs: [],
  prepared: [],
  password: 'a secret that must not be repeated',
  recipient: 'age1vhcklfnvukasrac0cfl5hdqp4fzgn7hsesarp6g2dghpeexs6vnqf89t4h',
  paths: { cache: '/c', work: '/w' },
  network: {},
}

function open() {
  const input = new PassThrough()
  const output = new PassThrough()
  const cancelled: string[] = []
  const leases: boolean[] = []
  const opened = openHatch(
    { input, output },
    {
      onCancel: (jobs) => cancelled.push(...jobs),
      onLease: (held) => leases.push(held),
      onLimits: () => {},
    },
  )
  const lines = readLines(output, MAX_LINE)
  return {
    ...opened,
    input,
    cancelled,
    leases,
    say: (message: unknown) => input.write(`${JSON.stringify(message)}\n`),
    async heard(): Promise<FromMover> {
      const next = await lines.next()
      return fromMover.parse(JSON.parse(next.value as string))
    },
  }
}

const listing = { job: id, attempt: 1, fence: 1, what: 'index' } as const

describe('the hatch', () => {
  it('gives the first line to whoever starts the batch', async () => {
    const it = open()
    it.say(start)
    await expect(it.start).resolves.toMatchObject({ batch: id })
  })

  it('refuses any other first line, and a second start', async () => {
    const first = open()
    first.say({ type: 'lease', held: true })
    await expect(first.start).rejects.toThrow('the first line must be start')
    const second = open()
    second.say(start)
    second.say(start)
    await expect(second.closed).rejects.toThrow('a second start')
  })

  it('names the field of a bad start and not its value', async () => {
    const it = open()
    it.say({ ...start, recipient: 'hunter2' })
    const error = await it.start.catch((e: Error) => e)
    expect(error).toBeInstanceOf(HatchError)
    expect((error as Error).message).toContain('recipient')
    expect((error as Error).message).not.toContain('hunter2')
    expect((error as Error).message).not.toContain('secret')
  })

  it('matches answers to asks whatever their order', async () => {
    const it = open()
    it.say(start)
    const one = it.hatch.ask('listing', listing)
    const two = it.hatch.ask('listing', { ...listing, what: 'keys' })
    const first = await it.heard()
    const second = await it.heard()
    if (first.type !== 'ask' || second.type !== 'ask') throw new Error('expected asks')
    it.say({ type: 'answer', ask: second.ask, body: { objects: [], epoch: 2 } })
    it.say({ type: 'answer', ask: first.ask, body: { objects: [], epoch: 1 } })
    expect((await one).epoch).toBe(1)
    expect((await two).epoch).toBe(2)
  })

  it('turns a refusal into an error with its code', async () => {
    const it = open()
    it.say(start)
    const asked = it.hatch.ask('listing', listing)
    const heard = await it.heard()
    if (heard.type !== 'ask') throw new Error('expected an ask')
    it.say({ type: 'refusal', ask: heard.ask, code: 'locked', message: 'no', retryable: true })
    const error = await asked.catch((e: unknown) => e)
    expect(error).toBeInstanceOf(Refusal)
    expect(error).toMatchObject({ code: 'locked', retryable: true })
  })

  it('refuses an answer of the wrong shape to the one who asked, and goes on', async () => {
    const it = open()
    it.say(start)
    const asked = it.hatch.ask('listing', listing)
    const heard = await it.heard()
    if (heard.type !== 'ask') throw new Error('expected an ask')
    it.say({ type: 'answer', ask: heard.ask, body: { objects: 'none' } })
    await expect(asked).rejects.toBeInstanceOf(HatchError)
    it.say({ type: 'cancel', jobs: [id] })
    it.say({ type: 'lease', held: false })
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(it.cancelled).toEqual([id])
    expect(it.leases).toEqual([false])
  })

  it('stops waiting when the asker does, and drops the late answer', async () => {
    const it = open()
    it.say(start)
    const stop = new AbortController()
    const asked = it.hatch.ask('listing', listing, stop.signal)
    const heard = await it.heard()
    stop.abort(new Error('enough'))
    await expect(asked).rejects.toThrow('enough')
    if (heard.type !== 'ask') throw new Error('expected an ask')
    it.say({ type: 'answer', ask: heard.ask, body: { objects: [], epoch: 0 } })
    const again = it.hatch.ask('listing', listing)
    const next = await it.heard()
    if (next.type !== 'ask') throw new Error('expected an ask')
    it.say({ type: 'answer', ask: next.ask, body: { objects: [], epoch: 7 } })
    expect((await again).epoch).toBe(7)
  })

  it('orphans every open ask when the supervisor closes', async () => {
    const it = open()
    it.say(start)
    const asked = it.hatch.ask('listing', listing)
    await it.heard()
    it.input.end()
    await expect(asked).rejects.toBeInstanceOf(OrphanedError)
    await expect(it.closed).resolves.toBeUndefined()
    await expect(it.hatch.ask('listing', listing)).rejects.toBeInstanceOf(OrphanedError)
  })

  it('never sends what the supervisor could not read', async () => {
    const it = open()
    it.say(start)
    await expect(
      it.hatch.tell({ type: 'log', level: 'info', message: 'x'.repeat(501), fields: {} }),
    ).rejects.toBeInstanceOf(HatchError)
  })

  it('survives any bytes: it answers with a protocol error or waits for more', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 60 }),
            fc.json().map((text) => Buffer.from(`${text}\n`)),
          ),
        ),
        async (begun, chunks) => {
          const it = open()
          if (begun) it.say(start)
          for (const chunk of chunks) it.input.write(chunk)
          it.input.end()
          const error = await it.closed.then(
            () => undefined,
            (e: unknown) => e,
          )
          expect(error === undefined || error instanceof HatchError).toBe(true)
        },
      ),
      { numRuns: 300 },
    )
  })
})
