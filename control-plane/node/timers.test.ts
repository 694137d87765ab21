import { describe, expect, it } from 'vitest'
import type { Log } from '../core/log.ts'
import { systemClock } from './system.ts'
import { startTimers } from './timers.ts'

function record(): { log: Log; lines: string[] } {
  const lines: string[] = []
  const say = (message: string, fields?: Readonly<Record<string, unknown>>) => {
    lines.push(`${message}: ${String(fields?.task)}`)
  }
  return { log: { info: say, warn: say, error: say }, lines }
}

describe('timers', () => {
  it('go on after a run that failed, and say so', async () => {
    const { log, lines } = record()
    let runs = 0
    let third: () => void
    const enough = new Promise<void>((resolve) => {
      third = resolve
    })
    const timers = startTimers({ clock: systemClock, log }, [
      {
        name: 'brittle',
        every: 1,
        async run() {
          if (++runs === 3) third()
          throw new Error('no')
        },
      },
    ])
    await enough
    await timers.stop()
    expect(lines.slice(0, 2)).toEqual([
      'a timer task failed: brittle',
      'a timer task failed: brittle',
    ])
    const stopped = runs
    await systemClock.sleep(20)
    expect(runs).toBe(stopped)
  })

  it('never overlap themselves, and stop waits for the run under way', async () => {
    const { log } = record()
    let running = 0
    let most = 0
    let finished = 0
    const timers = startTimers({ clock: systemClock, log }, [
      {
        name: 'slow',
        every: 0,
        async run() {
          most = Math.max(most, ++running)
          await systemClock.sleep(15)
          running--
          finished++
        },
      },
    ])
    await systemClock.sleep(50)
    await timers.stop()
    expect([most, running]).toEqual([1, 0])
    expect(finished).toBeGreaterThan(1)
  })
})
