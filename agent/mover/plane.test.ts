import { describe, expect, it } from 'vitest'
import type { Hatch } from './hatch.ts'
import { createLease } from './lease.ts'
import { type AttemptOf, createPlane } from './plane.ts'
import { Refusal } from './refusal.ts'
import { createSpeaking } from './speaking.ts'

const attempt: AttemptOf = { job: 'a', attempt: 1, fence: 1 }
const listing = { ...attempt, what: 'index' } as const

function rig(answers: (() => unknown)[]) {
  let at = 0
  const sleeps: number[] = []
  const asked: { name: string; body: unknown }[] = []
  const hatch = {
    async ask(name: string, body: unknown) {
      asked.push({ name, body })
      const next = answers.shift()
      if (next === undefined) throw new Error('one question too many')
      return next()
    },
    tell: async () => {},
  } as unknown as Hatch
  const clock = {
    now: () => at,
    monotonic: () => at,
    async sleep(ms: number, signal?: AbortSignal) {
      signal?.throwIfAborted()
      sleeps.push(ms)
      at += ms
    },
  }
  const lease = createLease()
  const random = { bytes: (n: number) => new Uint8Array(n).fill(255) }
  const plane = createPlane({ hatch, lease, clock, random })
  const stop = new AbortController()
  return { plane, lease, sleeps, asked, stop, signal: stop.signal, elapsed: () => at }
}

const refuse = (code: string, retryable: boolean) => () => {
  throw new Refusal('listing', code, code, retryable)
}
const answer = () => ({ objects: [], epoch: 1 })

describe('asking the plane', () => {
  it('waits out an outage with growing pauses', async () => {
    const it = rig([...Array(4).fill(refuse('plane-unavailable', true)), answer])
    expect(await it.plane.ask('listing', listing, { signal: it.signal })).toEqual(answer())
    expect(it.sleeps.map(Math.round)).toEqual([1_000, 2_000, 4_000, 8_000])
  })

  it('gives up after six hours without a plane, and after twenty minutes of being put off', async () => {
    for (const [code, hours] of [
      ['plane-unavailable', 6],
      ['too-many', 1 / 3],
    ] as const) {
      const it = rig(Array(1_000).fill(refuse(code, true)))
      await expect(it.plane.ask('listing', listing, { signal: it.signal })).rejects.toMatchObject({
        code,
      })
      expect(it.elapsed() / 3_600_000).toBeGreaterThanOrEqual(hours)
      expect(it.elapsed() / 3_600_000).toBeLessThan(hours + 0.05)
    }
  })

  it('does not argue with a decision, nor with what the caller handles itself', async () => {
    const decided = rig([refuse('forbidden', false)])
    await expect(
      decided.plane.ask('listing', listing, { signal: decided.signal }),
    ).rejects.toMatchObject({ code: 'forbidden' })
    const passed = rig([refuse('epoch-stale', true)])
    await expect(
      passed.plane.ask('listing', listing, { signal: passed.signal, pass: ['epoch-stale'] }),
    ).rejects.toMatchObject({ code: 'epoch-stale' })
    expect(passed.sleeps).toEqual([])
  })

  it('waits for the lease itself when that is what is missing', async () => {
    const it = rig([refuse('lease-lapsed', true), answer])
    it.lease.set(false)
    let answered = false
    const asked = it.plane.ask('listing', listing, { signal: it.signal }).then(() => {
      answered = true
    })
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(answered).toBe(false)
    it.lease.set(true)
    await asked
    expect(it.asked).toHaveLength(2)
  })

  it('stops waiting when it is told to', async () => {
    const it = rig(Array(10).fill(refuse('lease-lapsed', true)))
    it.lease.set(false)
    const asked = it.plane.ask('listing', listing, { signal: it.signal })
    setTimeout(() => it.stop.abort(new Error('told to')), 5)
    await expect(asked).rejects.toThrow('told to')
  })
})

describe('speaking for a batch', () => {
  const other: AttemptOf = { job: 'b', attempt: 1, fence: 1 }
  const wish = { method: 'GET', what: 'index', id: 'f'.repeat(64) } as const

  it('goes on in the name of another job when the first belongs to a newer attempt', async () => {
    const it = rig([refuse('fence-stale', false), () => ({ grants: [] })])
    const gone: string[] = []
    const speaking = createSpeaking({
      plane: it.plane,
      lease: it.lease,
      signal: it.signal,
      others: () => [attempt, other].filter(({ job }) => !gone.includes(job)),
      onGone: ({ job }) => gone.push(job),
    })
    speaking.speak(attempt)
    await speaking.grants.grants({ wanted: [wish], stored: [] })
    expect(gone).toEqual(['a'])
    expect(it.asked.map(({ body }) => (body as AttemptOf).job)).toEqual(['a', 'b'])
  })

  it('rejects when nobody is left to speak', async () => {
    const it = rig([refuse('fence-stale', false)])
    const gone: string[] = []
    const speaking = createSpeaking({
      plane: it.plane,
      lease: it.lease,
      signal: it.signal,
      others: () => [attempt].filter(({ job }) => !gone.includes(job)),
      onGone: ({ job }) => gone.push(job),
    })
    await expect(speaking.grants.grants({ wanted: [wish], stored: [] })).rejects.toMatchObject({
      code: 'fence-stale',
    })
  })
})
