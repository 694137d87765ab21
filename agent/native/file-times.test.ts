import { lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { setTimes } from './file-times.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-times-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test.each([
  1_700_000_000_123_456_789n,
  0n,
  -1n,
  -1_500_000_001n,
  -1_000_000_000n,
  4_102_444_800_000_000_001n,
])('a time of %d ns comes back to the nanosecond', (ns) => {
  const file = join(dir, 'f')
  writeFileSync(file, '')
  setTimes(file, ns + 1n, ns)
  const stat = lstatSync(file, { bigint: true })
  expect([stat.atimeNs, stat.mtimeNs]).toEqual([ns + 1n, ns])
})

test('the time of a symlink is set on the symlink', () => {
  const link = join(dir, 'link')
  symlinkSync('/', link)
  const root = lstatSync('/', { bigint: true }).mtimeNs
  setTimes(link, 5n, 7n)
  expect(lstatSync(link, { bigint: true }).mtimeNs).toBe(7n)
  expect(lstatSync('/', { bigint: true }).mtimeNs).toBe(root)
})
