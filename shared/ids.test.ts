import { describe, expect, it } from 'vitest'
import { id, newId, plainName } from './ids.ts'

const random = { bytes: (length: number) => new Uint8Array(length).fill(0xff) }
const at = (now: number) => ({ now: () => now, monotonic: () => now, sleep: async () => {} })

describe('an id', () => {
  it('is a UUID of version 7 that begins with its milliseconds', () => {
    const made = newId(at(0x0123_4567_89ab), random)
    expect(made).toBe('01234567-89ab-7fff-bfff-ffffffffffff')
    expect(id.parse(made)).toBe(made)
  })

  it('sorts by time', () => {
    const times = [1, 255, 256, 65_536, 1_700_000_000_000, 1_700_000_000_001]
    const ids = times.map((time) => newId(at(time), random))
    expect([...ids].sort()).toEqual(ids)
  })
})

describe('a plain name', () => {
  it('never looks like an id, whatever its letters', () => {
    const host = '01234567-89ab-7fff-bfff-ffffffffffff'
    for (const name of [host, host.toUpperCase()]) {
      expect(plainName.safeParse(name).error?.issues[0]?.message).toBe('must not look like an id')
    }
    expect(plainName.safeParse(`${host}-x`).success).toBe(true)
  })

  it('is short and harmless in a path, a tag and a table', () => {
    for (const name of ['web1', 'a', 'db-1.example_x'])
      expect(plainName.safeParse(name).success, name).toBe(true)
    for (const name of ['', '.hidden', '-x', 'a/b', 'a b', 'ä', 'a\n', 'x'.repeat(65)]) {
      expect(plainName.safeParse(name).success, name).toBe(false)
    }
  })
})
