import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { dataSegments, nextData } from './holes.ts'

const MIB = 1 << 20
let dir: string
let fd: number
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-holes-'))
  fd = openSync(join(dir, 'f'), 'w+')
})
afterEach(() => {
  closeSync(fd)
  rmSync(dir, { recursive: true })
})

test('data between holes is found and nothing else', () => {
  writeSync(fd, Buffer.alloc(MIB, 1), 0, MIB, 4 * MIB)
  writeSync(fd, Buffer.alloc(MIB, 1), 0, MIB, 8 * MIB)
  ftruncateSync(fd, 16 * MIB)
  expect([...dataSegments(fd, 16 * MIB)]).toEqual([
    { start: 4 * MIB, end: 5 * MIB },
    { start: 8 * MIB, end: 9 * MIB },
  ])
  expect(nextData(fd, 9 * MIB)).toBeUndefined()
})

test('a file of nothing but a hole has no data, and an empty file neither', () => {
  expect([...dataSegments(fd, 0)]).toEqual([])
  ftruncateSync(fd, 4 * MIB)
  expect([...dataSegments(fd, 4 * MIB)]).toEqual([])
})

test('what was appended beyond the asked size is not looked at', () => {
  writeSync(fd, Buffer.alloc(2 * MIB, 1))
  expect([...dataSegments(fd, MIB)]).toEqual([{ start: 0, end: MIB }])
})

test('offsets beyond 4 GiB are exact', () => {
  const far = 5 * 1024 * MIB
  writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, far)
  expect([...dataSegments(fd, far + 4096)]).toEqual([{ start: far, end: far + 4096 }])
})
