import { describe, expect, it } from 'vitest'
import { createLanes, type Lanes, type Leave } from './lanes.ts'

const never = new AbortController().signal
const MIB = 2 ** 20

/** Time that is moved by hand; a sleep moves it by itself. */
function handClock() {
  let at = 1
  const sleeps: number[] = []
  return {
    sleeps,
    pass: (ms: number) => {
      at += ms
    },
    now: () => at,
    monotonic: () => at,
    async sleep(ms: number) {
      sleeps.push(ms)
      at += ms
    },
  }
}

/** Rounds of full lanes against a store that carries `rate(width)` bytes per second in all. */
async function rounds(
  lanes: Lanes,
  clock: ReturnType<typeof handClock>,
  count: number,
  rate: (width: number) => number,
): Promise<number[]> {
  const widths: number[] = []
  for (let i = 0; i < count; i++) {
    const { width } = lanes
    const leaves = await Promise.all(Array.from({ length: width }, () => lanes.enter(never)))
    clock.pass((16 * MIB * width * 1_000) / rate(width))
    for (const leave of leaves) leave({ bytes: 16 * MIB })
    widths.push(lanes.width)
  }
  return widths
}

describe('lanes of transfers', () => {
  it('begin with two and become as many as are of use', async () => {
    const clock = handClock()
    const lanes = createLanes({ clock, first: 2, most: () => 8 })
    expect(lanes.width).toBe(2)
    // A latency-bound path: each transfer more brings as much again, up to five.
    const widths = await rounds(lanes, clock, 40, (width) => Math.min(width, 5) * 10 * MIB)
    expect(Math.max(...widths)).toBe(6) // one was tried that brought nothing
    expect(widths.filter((width) => width === 5).length).toBeGreaterThan(20)
  })

  it('stay at two where the path is full, and never exceed what they may be', async () => {
    const clock = handClock()
    const full = createLanes({ clock, first: 2, most: () => 8 })
    const widths = await rounds(full, clock, 40, () => 10 * MIB)
    expect(widths.filter((width) => width === 2).length).toBeGreaterThan(30)
    let most = 4
    const narrow = createLanes({ clock, first: 2, most: () => most })
    expect(Math.max(...(await rounds(narrow, clock, 20, (width) => width * MIB)))).toBe(4)
    most = 1
    expect(narrow.width).toBe(1)
  })

  it('are halved by a busy store, once for all that were under way together', async () => {
    const clock = handClock()
    const lanes = createLanes({ clock, first: 8, most: () => 8 })
    const leaves = await Promise.all(Array.from({ length: 8 }, () => lanes.enter(never)))
    clock.pass(10)
    for (const leave of leaves) leave({ busy: true })
    expect(lanes.width).toBe(4)
    clock.pass(10)
    const later = await lanes.enter(never)
    clock.pass(10)
    later({ busy: true })
    expect(lanes.width).toBe(2)
    for (let i = 0; i < 3; i++) (await lanes.enter(never))({ busy: true })
    expect(lanes.width).toBe(1)
  })

  it('let nothing begin before the time is over that the store asked for', async () => {
    const clock = handClock()
    const lanes = createLanes({ clock, first: 2, most: () => 4 })
    ;(await lanes.enter(never))({ busy: true, wait: 7_000 })
    await lanes.enter(never)
    expect(clock.sleeps).toEqual([7_000])
  })

  it('grow again when the store has recovered', async () => {
    const clock = handClock()
    const lanes = createLanes({ clock, first: 4, most: () => 4 })
    ;(await lanes.enter(never))({ busy: true })
    expect(lanes.width).toBe(2)
    const widths = await rounds(lanes, clock, 60, (width) => width * 10 * MIB)
    expect(widths.at(-1)).toBe(4)
  })

  it('are given in the order of asking, and not to who gave up', async () => {
    const clock = handClock()
    const lanes = createLanes({ clock, first: 1, most: () => 1 })
    const first = await lanes.enter(never)
    const order: string[] = []
    const stop = new AbortController()
    const ask = async (name: string, signal: AbortSignal): Promise<Leave> => {
      const leave = await lanes.enter(signal)
      order.push(name)
      return leave
    }
    const a = ask('a', never)
    const gone = ask('b', stop.signal)
    const c = ask('c', never)
    stop.abort(new Error('enough'))
    await expect(gone).rejects.toThrow('enough')
    first({ failed: true })
    ;(await a)({ bytes: 1 })
    await c
    expect(order).toEqual(['a', 'c'])
  })
})
