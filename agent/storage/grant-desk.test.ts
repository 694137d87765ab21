import { describe, expect, it } from 'vitest'
import type { WantedGrant } from '../../shared/protocol/calls.ts'
import { createGrantDesk } from './grant-desk.ts'

describe('the grant desk', () => {
  it('never asks for more than 32 at once nor holds more than 64 unused', async () => {
    const asked: WantedGrant[][] = []
    const desk = createGrantDesk(
      {
        async grants({ wanted }) {
          asked.push(wanted)
          return wanted.map((w) => ({
            method: w.method,
            id: w.id,
            url: 'u',
            headers: {},
            seconds: 900,
          }))
        },
        stored: () => Promise.reject(new Error('unused')),
      },
      () => 0,
    )
    const names = Array.from({ length: 100 }, (_, i) => i.toString(16).padStart(64, '0'))
    const md5 = '0'.repeat(32)
    let given = 0
    for (const name of names) {
      desk.take({ method: 'PUT', what: 'pack', id: name, bytes: 2 ** 24, md5 }).then(() => given++)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(given).toBe(64)
    expect(desk.outstanding()).toEqual({ grants: 64, bytes: 2 ** 30 })
    expect(Math.max(...asked.map((batch) => batch.length))).toBeLessThanOrEqual(32)
    for (const name of names.slice(0, 10)) desk.used(name)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(given).toBe(74)
  })

  it('lets one object over the limit go alone', async () => {
    const desk = createGrantDesk(
      {
        grants: async ({ wanted }) =>
          wanted.map((w) => ({ method: w.method, id: w.id, url: 'u', headers: {}, seconds: 900 })),
        stored: () => Promise.reject(new Error('unused')),
      },
      () => 0,
    )
    const md5 = '0'.repeat(32)
    const big = { method: 'PUT', what: 'pack', bytes: 2 ** 31, md5 } as const
    await desk.take({ ...big, id: '1'.repeat(64) })
    let second = false
    desk.take({ ...big, id: '2'.repeat(64) }).then(() => {
      second = true
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(second).toBe(false)
    desk.used('1'.repeat(64))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(second).toBe(true)
  })

  it('grants the others when one wish of a question is refused, and never mixes methods', async () => {
    const bad = 'b'.repeat(64)
    const questions: string[][] = []
    const desk = createGrantDesk(
      {
        async grants({ wanted }) {
          questions.push(wanted.map(({ method, id }) => `${method} ${id[0]}`))
          if (wanted.some(({ id }) => id === bad)) {
            throw Object.assign(new Error('not a tree pack'), { retryable: false })
          }
          return wanted.map((w) => ({
            method: w.method,
            id: w.id,
            url: 'u',
            headers: {},
            seconds: 900,
          }))
        },
        stored: () => Promise.reject(new Error('unused')),
      },
      () => 0,
    )
    const get = (id: string) => desk.take({ method: 'GET', what: 'pack', id })
    const md5 = '0'.repeat(32)
    const [one, two, three, put] = await Promise.allSettled([
      get('a'.repeat(64)),
      get(bad),
      get('c'.repeat(64)),
      desk.take({ method: 'PUT', what: 'pack', id: 'd'.repeat(64), bytes: 100, md5 }),
    ])
    expect([one, two, three, put].map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ])
    expect(questions.toSorted()).toEqual([
      ['GET a'],
      ['GET a', 'GET b', 'GET c'],
      ['GET b'],
      ['GET c'],
      ['PUT d'],
    ])
  })
})
