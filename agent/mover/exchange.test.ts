import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ExchangeDisk, openExchange, realExchangeDisk } from './exchange.ts'

let dir: string
let data: string
let staging: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-exchange-'))
  data = join(dir, '_data')
  staging = join(dir, '_data.holdfast-j1')
  mkdirSync(data)
  writeFileSync(join(data, 'content'), 'old')
})
afterEach(() => rmSync(dir, { recursive: true }))

const options = (disk?: ExchangeDisk) => ({
  data,
  staging,
  bytes: 1_000,
  ...(disk && { disk }),
})
const shown = () => readFileSync(join(data, 'content'), 'utf8')

/** What a restore does between opening and committing. */
function build(): void {
  writeFileSync(join(staging, 'content'), 'new')
}

test('the new tree takes the place of the old, which is kept beside it, and nothing else is left', () => {
  const exchange = openExchange(options())
  build()
  exchange.commit()
  expect(shown()).toBe('new')
  expect(readFileSync(join(exchange.old, 'content'), 'utf8')).toBe('old')
  expect(readdirSync(dir).sort()).toEqual(['_data', '_data.holdfast-j1.old'])
})

class Died extends Error {}

/** A disk whose `n`th change kills the program, either before it happens or after. */
function dyingDisk(n: number, when: 'before' | 'after'): ExchangeDisk {
  let calls = 0
  const mortal =
    <A extends unknown[]>(operation: (...args: A) => void) =>
    (...args: A) => {
      if (++calls === n && when === 'before') throw new Died()
      operation(...args)
      if (calls === n) throw new Died()
    }
  return {
    exchange: mortal(realExchangeDisk.exchange),
    rename: mortal(realExchangeDisk.rename),
    makeDirectory: mortal(realExchangeDisk.makeDirectory),
    writeDurably: mortal(realExchangeDisk.writeDurably),
    remove: mortal(realExchangeDisk.remove),
  }
}

function attempt(disk?: ExchangeDisk): 'died' | 'done' {
  try {
    const exchange = openExchange(options(disk))
    if (!exchange.finished) {
      build()
      exchange.commit()
    }
    return 'done'
  } catch (error) {
    if (error instanceof Died) return 'died'
    throw error
  }
}

/** Journal, directory, journal, exchange, rename, journal away. */
const CHANGES = 6
const deaths = Array.from({ length: CHANGES }, (_, i) => i + 1).flatMap((n) => [
  { n, when: 'before' as const },
  { n, when: 'after' as const },
])

test.each(deaths)(
  'death $when change $n leaves one whole tree in place, and the next attempt finishes',
  ({ n, when }) => {
    expect(attempt(dyingDisk(n, when))).toBe('died')
    expect(['old', 'new']).toContain(shown())
    expect(attempt()).toBe('done')
    expect(shown()).toBe('new')
    expect(readFileSync(join(dir, '_data.holdfast-j1.old', 'content'), 'utf8')).toBe('old')
    expect(readdirSync(dir).sort()).toEqual(['_data', '_data.holdfast-j1.old'])
  },
)

test('there are as many changes as deaths were tried', () => {
  expect(attempt(dyingDisk(CHANGES + 1, 'before'))).toBe('done')
})

test('dying twice in a row is no worse than once', () => {
  for (const first of deaths) {
    for (const second of deaths) {
      attempt(dyingDisk(first.n, first.when))
      attempt(dyingDisk(second.n, second.when))
      expect(attempt()).toBe('done')
      expect(shown()).toBe('new')
      rmSync(join(dir, '_data.holdfast-j1.old'), { recursive: true })
      writeFileSync(join(data, 'content'), 'old')
    }
  }
})

test('a disk without room for the whole snapshot is refused before anything is made', () => {
  expect(() => openExchange({ ...options(), bytes: 2 ** 52 })).toThrow(
    expect.objectContaining({ code: 'ENOSPC' }),
  )
  expect(readdirSync(dir)).toEqual(['_data'])
})

test.each(['tmpfs', 'bind'])('a live directory that is a mount (%s) is refused', (kind) => {
  const words = kind === 'tmpfs' ? ['-t', 'tmpfs', 'none', data] : ['--bind', data, data]
  execFileSync('mount', words)
  try {
    expect(() => openExchange(options())).toThrow(
      expect.objectContaining({ code: 'invalid', message: expect.stringContaining('mount') }),
    )
  } finally {
    execFileSync('umount', [data])
  }
})

test('a tree elsewhere cannot be exchanged', () => {
  expect(() => openExchange({ ...options(), staging: join(tmpdir(), 'elsewhere') })).toThrow(
    expect.objectContaining({ code: 'invalid' }),
  )
})
