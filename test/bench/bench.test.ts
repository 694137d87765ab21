// The bench's own parts: what it measures must be what it says, and what our engine wrote must be a repository.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { judge } from './cases.ts'
import { dataSets, warm } from './data-sets.ts'
import { measureProgram, median } from './measure.ts'
import { startEngine } from './our-engine.ts'
import { writeSql } from './sql-text.ts'
import { newestRestic } from './stock-restic.ts'

const restic = await useRestic()
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('data', () => {
  it('come out the same for the same seed, and of the size asked for', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => join(folder, name)) as [string, string, string]
    writeSql(a, 5_000_001, 'x')
    writeSql(b, 5_000_001, 'x')
    writeSql(c, 5_000_001, 'y')
    expect(readFileSync(a).equals(readFileSync(b))).toBe(true)
    expect(readFileSync(a).equals(readFileSync(c))).toBe(false)
    expect(readFileSync(a)).toHaveLength(5_000_001)
  })

  it('of SQL shrink to between a third and a fifth, as dumps do', () => {
    const text = join(folder, 'text')
    writeSql(text, 5_000_000, 'ratio')
    const ratio = 5_000_000 / zstdCompressSync(readFileSync(text)).length
    expect(ratio).toBeGreaterThan(3)
    expect(ratio).toBeLessThan(5)
  })

  it('of the mixed set change by about a hundredth, and nothing else about them', () => {
    const tree = join(folder, 'mixed')
    mkdirSync(tree)
    dataSets.mixed.make(tree, 0.01)
    const before = warm(tree)
    expect(before.bytes).toBeGreaterThan(9_000_000)
    const copy = join(folder, 'copy')
    execFileSync('cp', ['-a', tree, copy])
    dataSets.mixed.change!(tree, 'seed')
    const after = warm(tree)
    expect(after.files).toBe(before.files)
    const changed = compareTrees(copy, tree).differences.filter((one) => one.aspect === 'content')
    expect(changed.length).toBeGreaterThan(4)
    expect(changed.length).toBeLessThan(12)
  })
})

describe('numbers', () => {
  it('are judged in their own direction', () => {
    expect(judge(2, { goal: 1.4, beyond: 2 }, true)).toBe('beyond')
    expect(judge(1.4, { goal: 1.4, beyond: 2 }, true)).toBe('met')
    expect(judge(1.3, { goal: 1.4, beyond: 2 }, true)).toBe('NOT met')
    expect(judge(1.6, { goal: 1.5, beyond: 1 }, false)).toBe('NOT met')
    expect(judge(1, { goal: 1.5, beyond: 1 }, false)).toBe('beyond')
    expect(median([3, 1, 2])).toBe(2)
  })

  it('of a program are its own: time, peak, and processor time', async () => {
    const script = 'const b=Buffer.alloc(8e7,1);const t=Date.now();while(Date.now()-t<400);'
    const ran = await measureProgram(process.execPath, ['-e', script], { env: process.env })
    expect(ran.seconds).toBeGreaterThan(0.4)
    expect(ran.peakBytes).toBeGreaterThan(80_000_000)
    expect(ran.cpuSeconds).toBeGreaterThan(0.05)
    await expect(
      measureProgram(process.execPath, ['-e', 'process.exit(3)'], { env: process.env }),
    ).rejects.toThrow('ended with 3')
  })
})

describe.skipIf(restic.missing)('our engine as a process of its own', () => {
  it('keeps, keeps again, checks and gives back a tree, and keeps a stream, as restic confirms', async () => {
    const tree = join(folder, 'tree')
    mkdirSync(tree)
    dataSets.mixed.make(tree, 0.005)
    const contender = await startEngine({
      restic: newestRestic(),
      folder: join(folder, 'engine'),
      tree,
      code: join(folder, 'code'),
    })
    const first = await contender.backup()
    expect(first.seconds).toBeGreaterThan(0)
    const stored = await contender.storedBytes()
    expect(stored).toBeGreaterThan(2_000_000)
    await contender.backup()
    expect((await contender.storedBytes()) - stored).toBeLessThan(20_000)
    await contender.judge()
    await contender.verify()
    const restored = await contender.restore(join(folder, 'restored'))
    expect(compareTrees(tree, restored.tree).differences).toEqual([])
    const input = openSync(join(tree, 'dump.sql'), 'r')
    await contender.backupStream(input)
    closeSync(input)
    await contender.judge()
    await contender.close()
  }, 120_000)
})
