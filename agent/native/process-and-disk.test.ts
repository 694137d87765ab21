import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { allocate } from './allocate.ts'
import { getIoPriority, setIoPriority } from './io-priority.ts'
import { adviseReading } from './read-ahead.ts'
import { syncFilesystem } from './sync-filesystem.ts'

const MIB = 1 << 20
let dir: string
let fd: number
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-disk-'))
  fd = openSync(join(dir, 'f'), 'w+')
})
afterEach(() => {
  closeSync(fd)
  rmSync(dir, { recursive: true })
})

test('allocated bytes are really on disk, and the file has their size', () => {
  allocate(fd, 64 * MIB)
  const stat = fstatSync(fd)
  expect(stat.size).toBe(64 * MIB)
  expect(stat.blocks * 512).toBeGreaterThanOrEqual(64 * MIB)
})

test('allocating again keeps what was written', () => {
  writeSync(fd, 'kept')
  allocate(fd, MIB)
  allocate(fd, MIB)
  expect(statSync(join(dir, 'f')).size).toBe(MIB)
})

test('more than the disk has is ENOSPC, or EFBIG where the file system has a lower limit', () => {
  expect(() => allocate(fd, 2 ** 50)).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^(ENOSPC|EFBIG)$/) }),
  )
})

test('the disk priority that was set is the one that holds', () => {
  setIoPriority({ class: 'idle' })
  expect(getIoPriority()).toEqual({ class: 'idle' })
  setIoPriority({ class: 'normal', level: 7 })
  expect(getIoPriority()).toEqual({ class: 'normal', level: 7 })
  setIoPriority({ class: 'normal', level: 4 })
})

test('advice about a descriptor that is closed is not an error, syncing it is', async () => {
  expect(() => adviseReading(9_999, 'will-need')).not.toThrow()
  await expect(syncFilesystem(9_999)).rejects.toThrow(expect.objectContaining({ code: 'EBADF' }))
  await syncFilesystem(fd)
})
