import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeDirectoryAt, openAt } from './open-at.ts'
import {
  forgetPages,
  listXattrsOf,
  punchHole,
  removeXattrOf,
  setTimesOf,
  setXattrOf,
} from './open-file.ts'
import { OPEN_DIRECTORY } from './open-flags.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants
const name = (text: string) => Buffer.from(text, 'latin1')

let base: string
let directory: number
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-open-at-'))
  directory = openSync(base, OPEN_DIRECTORY)
})
afterEach(() => {
  closeSync(directory)
  rmSync(base, { recursive: true })
})

test('entries are made and opened in the directory that is open, whatever its path leads to by now', () => {
  makeDirectoryAt(directory, name('d'), 0o700)
  const inner = openAt(directory, name('d'), OPEN_DIRECTORY)
  rmSync(join(base, 'd'), { recursive: true })
  mkdirSync(join(base, 'd'))
  expect(() => openAt(inner, name('f'), O_CREAT | O_RDWR, 0o600)).toThrow(
    expect.objectContaining({ code: 'ENOENT', syscall: 'openat' }),
  )
  closeSync(inner)
  expect(readdirSync(join(base, 'd'))).toEqual([])
  closeSync(openAt(directory, name('\xff'), O_CREAT | O_EXCL | O_RDWR, 0o640))
  expect(readdirSync(base, { encoding: 'latin1' }).sort()).toEqual(['d', '\xff'])
})

test('nothing but a single component is taken for a name, and no symlink followed unasked', () => {
  symlinkSync('/etc/passwd', join(base, 'link'))
  for (const bad of ['/etc/passwd', '../x', 'a/b', 'nul\0']) {
    expect(() => openAt(directory, name(bad), O_RDONLY)).toThrow(RangeError)
    expect(() => makeDirectoryAt(directory, name(bad), 0o700)).toThrow(RangeError)
  }
  expect(() => openAt(directory, name('link'), O_RDONLY | O_NOFOLLOW)).toThrow(
    expect.objectContaining({ code: 'ELOOP' }),
  )
  // A negative number may mean the working directory.
  expect(() => openAt(-100, name('x'), O_RDONLY)).toThrow(RangeError)
})

test('times and attributes are set through a descriptor', () => {
  const fd = openAt(directory, name('f'), O_CREAT | O_RDWR, 0o600)
  setTimesOf(fd, -1n, 1_234_567_890_123_456_789n)
  const stat = fstatSync(fd, { bigint: true })
  expect([stat.atimeNs, stat.mtimeNs]).toEqual([-1n, 1_234_567_890_123_456_789n])
  expect(listXattrsOf(fd)).toEqual([])
  const long = Array.from({ length: 30 }, (_, i) => name(`user.${'n'.repeat(40)}${i}`))
  for (const one of long) setXattrOf(fd, one, Buffer.from('v'))
  expect(listXattrsOf(fd).map(String).sort()).toEqual(long.map(String).sort())
  for (const one of long) removeXattrOf(fd, one)
  expect(listXattrsOf(fd)).toEqual([])
  expect(() => removeXattrOf(fd, long[0]!)).toThrow(expect.objectContaining({ code: 'ENODATA' }))
  closeSync(fd)
})

test('a hole takes the place of data, where the file system makes holes', () => {
  const fd = openAt(directory, name('f'), O_CREAT | O_RDWR, 0o600)
  writeSync(fd, Buffer.alloc(1 << 20, 'x'))
  const made = punchHole(fd, 4_096, 512 << 10)
  forgetPages(fd)
  const expected = Buffer.alloc(1 << 20, 'x')
  if (made) expected.fill(0, 4_096, 4_096 + (512 << 10))
  expect(readFileSync(join(base, 'f')).equals(expected)).toBe(true)
  if (made) expect(statSync(join(base, 'f')).blocks).toBeLessThan(((600 << 10) / 512) | 0)
  ftruncateSync(fd, 0)
  closeSync(fd)
})
