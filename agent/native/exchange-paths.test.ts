import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { exchangePaths } from './exchange-paths.ts'
import { cPath, twoPathSyscall } from './libc.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-exchange-'))
  for (const name of ['a', 'b']) {
    mkdirSync(join(dir, name))
    writeFileSync(join(dir, name, `was-${name}`), '')
  }
})
afterEach(() => rmSync(dir, { recursive: true }))

test('two directories change places', () => {
  exchangePaths(join(dir, 'a'), join(dir, 'b'))
  expect(readdirSync(join(dir, 'a'))).toEqual(['was-b'])
  expect(readdirSync(join(dir, 'b'))).toEqual(['was-a'])
})

test('the bare system call, for C libraries without a wrapper, does the same', () => {
  twoPathSyscall('renameat2', cPath(join(dir, 'a')), cPath(join(dir, 'b')), 2)
  expect(readdirSync(join(dir, 'a'))).toEqual(['was-b'])
})

test('a path that is missing leaves the other where it is', () => {
  expect(() => exchangePaths(join(dir, 'a'), join(dir, 'none'))).toThrow(
    expect.objectContaining({ code: 'ENOENT', syscall: 'renameat2' }),
  )
  expect(readdirSync(join(dir, 'a'))).toEqual(['was-a'])
})

test('a mount point is refused', () => {
  expect(() => exchangePaths(join(dir, 'a'), '/proc')).toThrow(
    expect.objectContaining({ syscall: 'renameat2' }),
  )
})
