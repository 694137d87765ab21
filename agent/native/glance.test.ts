import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { setTimes } from './file-times.ts'
import { Glance } from './glance.ts'
import { OPEN_DIRECTORY } from './open-flags.ts'
import { lacksXattrs, setXattr } from './xattrs.ts'

let dir: string
let fd: number
const glance = new Glance()

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-glance-'))
  fd = openSync(dir, OPEN_DIRECTORY)
})
afterEach(() => {
  closeSync(fd)
  rmSync(dir, { recursive: true })
})

test.each([
  ['in our days', 1_700_000_000_123_456_789n],
  ['in whole seconds', 1_700_000_000_000_000_000n],
  ['before 1970', -1_500_000_001n],
  ['after 2038', 4_294_967_297_000_000_001n],
])('a file changed %s is seen as lstat sees it', (_, mtime) => {
  const path = join(dir, 'f\u00e9')
  writeFileSync(path, '')
  truncateSync(path, 5_000_000_001)
  chownSync(path, 4_000_000_000, 70_000)
  chmodSync(path, 0o4711)
  linkSync(path, join(dir, 'other'))
  setTimes(path, 0n, mtime)
  const stat = lstatSync(path, { bigint: true })
  expect(glance.at(fd, Buffer.from('f\u00e9').toString('latin1'))).toBe(true)
  expect(glance.isFile).toBe(true)
  const time = (seconds: number, nanoseconds: number) =>
    BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
  expect({
    mode: BigInt(glance.mode),
    nlink: BigInt(glance.links),
    uid: BigInt(glance.uid),
    gid: BigInt(glance.gid),
    ino: (BigInt(glance.inodeHigh) << 32n) + BigInt(glance.inodeLow),
    size: BigInt(glance.size),
    mtimeNs: time(glance.modifiedSeconds, glance.modifiedNanoseconds),
    ctimeNs: time(glance.changedSeconds, glance.changedNanoseconds),
  }).toEqual({
    mode: stat.mode,
    nlink: stat.nlink,
    uid: stat.uid,
    gid: stat.gid,
    ino: stat.ino,
    size: stat.size,
    mtimeNs: mtime,
    ctimeNs: stat.ctimeNs,
  })
})

test('a symlink is not followed, what is not there is not seen', () => {
  mkdirSync(join(dir, 'd'))
  writeFileSync(join(dir, 'f'), '')
  symlinkSync('f', join(dir, 'l'))
  for (const name of ['d', 'l']) {
    expect(glance.at(fd, name)).toBe(true)
    expect(glance.isFile).toBe(false)
  }
  expect(glance.at(fd, 'none')).toBe(false)
  expect(glance.at(fd, 'x'.repeat(5_000))).toBe(false)
})

test.each([
  ['content', (path: string) => writeFileSync(path, 'y')],
  ['mode', (path: string) => chmodSync(path, 0o600)],
  [
    'another file of its name',
    (path: string) => {
      unlinkSync(path)
      writeFileSync(path, 'x')
    },
  ],
  ['another name', (path: string) => linkSync(path, `${path}2`)],
])('a later look tells a file that got %s from the one that was seen', (_, change) => {
  const path = join(dir, 'f')
  writeFileSync(path, 'x')
  setTimes(path, 0n, 0n)
  glance.at(fd, 'f')
  const seen = glance.sighting()
  const file = openSync(path, 'r')
  expect(glance.of(file) && glance.shows(seen)).toBe(true)
  expect(glance.at(fd, 'f') && glance.shows(seen)).toBe(true)
  change(path)
  expect(glance.at(fd, 'f')).toBe(true)
  expect(glance.shows(seen)).toBe(false)
  closeSync(file)
})

test('attributes are missed where there are some, and only there', () => {
  const path = join(dir, 'f')
  writeFileSync(path, 'x')
  const ended = Buffer.from(`${path}\0`)
  expect(lacksXattrs(ended)).toBe(true)
  setXattr(path, 'user.a', Buffer.from('b'))
  expect(lacksXattrs(ended)).toBe(false)
  expect(lacksXattrs(Buffer.from(`${path}-none\0`))).toBe(false)
})
