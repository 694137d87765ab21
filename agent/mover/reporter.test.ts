import { describe, expect, it } from 'vitest'
import { type FromMover, fromMover } from '../ipc/messages.ts'
import { Refusal } from './refusal.ts'
import { createReporter } from './reporter.ts'

const job = '018f3c3e-0000-7000-8000-000000000001'

function rig() {
  const told: FromMover[] = []
  let at = 0
  const reporter = createReporter(
    async (message) => {
      told.push(fromMover.parse(message))
    },
    {
      now: () => at,
      monotonic: () => at,
      sleep: () => Promise.reject(new Error('nobody sleeps here')),
    },
  )
  return { reporter, told, pass: (ms: number) => (at += ms) }
}

describe('the reporter', () => {
  it('tells progress at most once a second, in whole numbers', () => {
    const { reporter, told, pass } = rig()
    for (let i = 0; i < 100; i++) {
      reporter.progress(job, { phase: 'reading', files: i, bytes: i * 1.5, bytesTotal: undefined })
      pass(100)
    }
    expect(told).toHaveLength(10)
    expect(told[1]).toMatchObject({ progress: { files: 10, bytes: 15 } })
  })

  it('tells one end and nothing after it', async () => {
    const { reporter, told } = rig()
    await reporter.done(job, { outcome: 'succeeded', reason: 'completed' })
    await reporter.failed(job, new Error('late'))
    reporter.progress(job, { phase: 'reading', files: 1, bytes: 1 })
    expect(told).toEqual([{ type: 'done', job, outcome: 'succeeded', reason: 'completed' }])
    expect(reporter.isDone(job)).toBe(true)
  })

  it('cuts messages to what the protocol carries', async () => {
    const { reporter, told } = rig()
    await reporter.failed(job, new Refusal('grants', 'forbidden', 'x'.repeat(5_000), false))
    expect(told).toMatchObject([{ outcome: 'failed', reason: 'grant-refused' }])
  })
})
