import { lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeSpecialFile } from './special-file.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-special-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('devices get the kernel number they were asked for', () => {
  makeSpecialFile(join(dir, 'b'), 'dev', 2049n) // 8:1
  makeSpecialFile(join(dir, 'c'), 'chardev', 1_048_876n) // 1:300, a minor above 255
  const block = lstatSync(join(dir, 'b'), { bigint: true })
  const char = lstatSync(join(dir, 'c'), { bigint: true })
  expect([block.isBlockDevice(), block.rdev]).toEqual([true, 2049n])
  expect([char.isCharacterDevice(), char.rdev]).toEqual([true, 1_048_876n])
})

test('a fifo is closed to everyone at first, whatever the umask', () => {
  makeSpecialFile(join(dir, 'p'), 'fifo', 0n)
  const stat = lstatSync(join(dir, 'p'))
  expect([stat.isFIFO(), stat.mode & 0o7777]).toEqual([true, 0])
})

test('a name that is taken is an error', () => {
  makeSpecialFile(join(dir, 'p'), 'fifo', 0n)
  expect(() => makeSpecialFile(join(dir, 'p'), 'fifo', 0n)).toThrow(
    expect.objectContaining({ code: 'EEXIST' }),
  )
})
