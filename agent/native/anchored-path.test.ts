import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { anchoredPath } from './anchored-path.ts'
import { OPEN_CONTENT, OPEN_DIRECTORY } from './open-flags.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-anchor-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('a directory replaced by a symlink while open still leads to itself', () => {
  mkdirSync(join(dir, 'real'))
  mkdirSync(join(dir, 'elsewhere'))
  writeFileSync(join(dir, 'real', 'f'), 'mine')
  writeFileSync(join(dir, 'elsewhere', 'f'), 'not mine')
  const fd = openSync(join(dir, 'real'), OPEN_DIRECTORY)
  renameSync(join(dir, 'real'), join(dir, 'moved'))
  symlinkSync('elsewhere', join(dir, 'real'))
  expect(readFileSync(anchoredPath(fd, Buffer.from('f')), 'utf8')).toBe('mine')
  closeSync(fd)
  expect(() => openSync(join(dir, 'real'), OPEN_DIRECTORY)).toThrow()
})

test('a symlink under the name is not followed when opened for its content', () => {
  writeFileSync(join(dir, 'f'), '')
  symlinkSync('f', join(dir, 'link'))
  const fd = openSync(dir, OPEN_DIRECTORY)
  expect(() => openSync(anchoredPath(fd, Buffer.from('link')), OPEN_CONTENT)).toThrow(
    expect.objectContaining({ code: 'ELOOP' }),
  )
  closeSync(fd)
})
