import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { createLiveLimits, setOwnPriority } from './live-limits.ts'

/** Field 19 of each thread's stat. */
const nices = () =>
  readdirSync('/proc/self/task').map((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
  })

describe('limits of a batch', () => {
  it('are told to who follows them, at once and when they change', () => {
    const limits = createLiveLimits({ upload: 1 })
    const seen: unknown[] = []
    const stop = limits.follow((now) => seen.push(now))
    limits.set({ upload: 2 })
    stop()
    limits.set({})
    expect(seen).toEqual([{ upload: 1 }, { upload: 2 }])
    expect(limits.now).toEqual({})
  })

  it('lower the priority of every thread there is', async () => {
    const worker = new Worker('setInterval(() => {}, 1000)', { eval: true })
    await new Promise((resolve) => worker.once('online', resolve))
    const before = getPriority()
    setOwnPriority({ nice: Math.min(19, before + 3) })
    const after = nices()
    expect(after.length).toBeGreaterThan(4)
    expect(new Set(after)).toEqual(new Set([Math.min(19, before + 3)]))
    setOwnPriority({ nice: before })
    await worker.terminate()
  })
})
