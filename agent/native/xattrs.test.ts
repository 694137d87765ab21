import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { getXattr, listXattrs, readXattrs, removeXattr, setXattr } from './xattrs.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-xattrs-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('what setfattr wrote is read, also an empty value and bytes that are not text', () => {
  const file = join(dir, 'f')
  writeFileSync(file, '')
  execFileSync('setfattr', ['-n', 'user.bytes', '-v', '0x00ff0a80', file])
  execFileSync('setfattr', ['-n', 'user.empty', file])
  const found = new Map(readXattrs(file).map((x) => [x.name.toString(), x.value.toString('hex')]))
  expect(found).toEqual(
    new Map([
      ['user.bytes', '00ff0a80'],
      ['user.empty', ''],
    ]),
  )
})

test('what was set is what getfattr shows, under a path that is not UTF-8', () => {
  const path = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0xfe, 0x0a])])
  writeFileSync(path, '')
  setXattr(path, 'user.k', Buffer.from([1, 2, 0, 255]))
  const shown = execFileSync('getfattr', ['-R', '-d', '-e', 'hex', dir]).toString()
  expect(shown).toContain('user.k=0x010200ff')
  removeXattr(path, 'user.k')
  expect(listXattrs(path)).toEqual([])
})

test('the attributes of a symlink are its own, never those of its target', () => {
  writeFileSync(join(dir, 'target'), '')
  setXattr(join(dir, 'target'), 'user.k', Buffer.from('v'))
  symlinkSync('target', join(dir, 'link'))
  expect(listXattrs(join(dir, 'link'))).toEqual([])
  setXattr(join(dir, 'link'), 'trusted.own', Buffer.from('w'))
  expect(getXattr(join(dir, 'link'), 'trusted.own')?.toString()).toBe('w')
  expect(getXattr(join(dir, 'target'), 'trusted.own')).toBeUndefined()
})

test('an ACL is an attribute like any other', () => {
  const file = join(dir, 'f')
  writeFileSync(file, '')
  execFileSync('setfacl', ['-m', 'u:12345:r', file])
  const acl = getXattr(file, 'system.posix_acl_access')
  writeFileSync(join(dir, 'copy'), '')
  setXattr(join(dir, 'copy'), 'system.posix_acl_access', acl!)
  expect(execFileSync('getfacl', ['-n', join(dir, 'copy')]).toString()).toContain('user:12345:r--')
})

test('an attribute that is not there is undefined to read and ENODATA to remove', () => {
  expect(getXattr(dir, 'user.none')).toBeUndefined()
  expect(() => removeXattr(dir, 'user.none')).toThrow(
    expect.objectContaining({ code: 'ENODATA', syscall: 'lremovexattr' }),
  )
})

test('an error carries the code and the call, not the path', () => {
  const missing = join(dir, 'secret-name')
  expect(() => listXattrs(missing)).toThrow('llistxattr: ENOENT (no such file or directory)')
})

test('a NUL in a path is refused rather than cutting the path short', () => {
  expect(() => listXattrs(`${dir}/a\0b`)).toThrow(RangeError)
})
