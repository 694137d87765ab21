import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeSpecialFile } from '../native/special-file.ts'
import { setXattr } from '../native/xattrs.ts'
import { createDirectorySource } from './directory.ts'
import { measure } from './measure.ts'
import type { SourceEntry, SourceFile } from './source.ts'
import { createVolumeSource } from './volume.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-source-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

function listed(path = dir): SourceEntry[] {
  const root = createDirectorySource(path).open()
  const entries = [...root.entries()]
  root.close()
  return entries
}

function entryNamed<K extends SourceEntry['kind']>(name: string, kind: K) {
  const entry = listed().find((e) => e.name.equals(Buffer.from(name)))
  if (entry?.kind !== kind) throw new Error(`${name} is ${entry?.kind}`)
  return entry as Extract<SourceEntry, { kind: K }>
}

async function contentOf(file: SourceFile): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of file.content()) chunks.push(Buffer.from(chunk))
  file.close()
  return Buffer.concat(chunks)
}

test('entries come sorted by the bytes of their names, not by characters', () => {
  const names = ['\u{10000}', '\uffee', 'Z', 'a', '\u00e9'].map((n) => Buffer.from(n))
  names.push(Buffer.from([0xff]), Buffer.from([0xe9]))
  for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${dir}/`), name]), '')
  const got = listed().map((e) => e.name.toString('hex'))
  expect(got).toEqual(names.map((n) => n.toString('hex')).sort())
})

test('more entries than are looked at in one go all come, once each', () => {
  for (let i = 0; i < 333; i++) writeFileSync(join(dir, `f${i}`), '')
  expect(new Set(listed().map((e) => e.name.toString())).size).toBe(333)
})

test('each kind of entry is told as what it is, links not followed', () => {
  writeFileSync(join(dir, 'file'), 'x')
  mkdirSync(join(dir, 'dir'))
  symlinkSync('dir', join(dir, 'link'))
  makeSpecialFile(join(dir, 'pipe'), 'fifo', 0n)
  makeSpecialFile(join(dir, 'socket'), 'socket', 0n)
  makeSpecialFile(join(dir, 'tty'), 'chardev', 1_280n)
  makeSpecialFile(join(dir, 'disk'), 'dev', 2_049n)
  expect(Object.fromEntries(listed().map((e) => [e.name.toString(), e.kind]))).toEqual({
    file: 'file',
    dir: 'dir',
    link: 'symlink',
    pipe: 'fifo',
    socket: 'socket',
    tty: 'chardev',
    disk: 'dev',
  })
  expect(entryNamed('link', 'symlink').target.toString()).toBe('dir')
})

test('metadata of the root and of entries is their own', () => {
  setXattr(dir, 'user.root', Buffer.from('r'))
  writeFileSync(join(dir, 'file'), 'x')
  setXattr(join(dir, 'file'), 'user.file', Buffer.from('f'))
  const root = createDirectorySource(dir).open()
  expect(root.stat.ino).toBe(lstatSync(dir, { bigint: true }).ino)
  expect(root.attributes).toEqual({
    xattrs: [{ name: Buffer.from('user.root'), value: Buffer.from('r') }],
  })
  root.close()
  expect(entryNamed('file', 'file').attributes).toEqual({
    xattrs: [{ name: Buffer.from('user.file'), value: Buffer.from('f') }],
  })
})

test('a file that another took the name of is not opened in its place', () => {
  writeFileSync(join(dir, 'file'), 'first')
  const root = createDirectorySource(dir).open()
  const entry = root.look(Buffer.from('file'))
  if (entry.kind !== 'file') throw new Error('no file')
  writeFileSync(join(dir, 'other'), 'second')
  renameSync(join(dir, 'other'), join(dir, 'file'))
  expect(() => entry.open()).toThrow(expect.objectContaining({ code: 'EAGAIN' }))
  root.close()
})

test.each([
  ['a symlink', (path: string) => symlinkSync('/etc/passwd', path)],
  ['a fifo, without waiting for a writer', (path: string) => makeSpecialFile(path, 'fifo', 0n)],
  ['a device', (path: string) => makeSpecialFile(path, 'chardev', 261n)],
])('a file replaced by %s is not opened', (_, replace) => {
  writeFileSync(join(dir, 'file'), 'mine')
  const root = createDirectorySource(dir).open()
  const entry = root.look(Buffer.from('file'))
  if (entry.kind !== 'file') throw new Error('no file')
  unlinkSync(join(dir, 'file'))
  replace(join(dir, 'file'))
  expect(() => entry.open()).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^(ELOOP|EAGAIN)$/) }),
  )
  root.close()
})

test('a directory above replaced by a symlink leads nowhere else', async () => {
  mkdirSync(join(dir, 'in'))
  mkdirSync(join(dir, 'outside'))
  writeFileSync(join(dir, 'in', 'f'), 'mine')
  writeFileSync(join(dir, 'outside', 'f'), 'not mine')
  const root = createDirectorySource(join(dir, 'in')).open()
  renameSync(join(dir, 'in'), join(dir, 'moved'))
  symlinkSync('outside', join(dir, 'in'))
  const [entry] = [...root.entries()]
  if (entry?.kind !== 'file') throw new Error('no file')
  expect((await contentOf(entry.open())).toString()).toBe('mine')
  root.close()
})

test('reading leaves the access time alone', async () => {
  const path = join(dir, 'file')
  writeFileSync(path, 'content')
  utimesSync(path, 1_000_000, 2_000_000)
  const root = createDirectorySource(dir).open()
  const entry = root.look(Buffer.from('file'))
  if (entry.kind !== 'file') throw new Error('no file')
  await contentOf(entry.open())
  root.close()
  expect(lstatSync(path).atimeMs).toBe(1_000_000_000)
})

test('what O_NOATIME is refused for is read without it', () => {
  writeFileSync(join(dir, 'file'), 'content')
  const flags: number[] = []
  const open = (path: Buffer, wanted: number) => {
    flags.push(wanted)
    if (wanted & constants.O_NOATIME) {
      throw Object.assign(new Error('EPERM'), { code: 'EPERM', syscall: 'open' })
    }
    return openSync(path, wanted)
  }
  const root = createDirectorySource(dir, { open }).open()
  const entry = root.look(Buffer.from('file'))
  if (entry.kind !== 'file') throw new Error('no file')
  entry.open().close()
  root.close()
  expect(flags).toHaveLength(2)
  expect(flags.every((f) => f & constants.O_NOFOLLOW && f & constants.O_NONBLOCK)).toBe(true)
})

test('large, small and sparse files give the bytes that are in them', async () => {
  const sparse = join(dir, 'sparse')
  const fd = openSync(sparse, 'w')
  closeSync(fd)
  execFileSync('truncate', ['-s', '7M', sparse])
  execFileSync(
    'dd',
    ['if=/dev/urandom', `of=${sparse}`, 'bs=1M', 'seek=3', 'count=1', 'conv=notrunc'],
    {
      stdio: 'ignore',
    },
  )
  execFileSync('dd', ['if=/dev/urandom', `of=${join(dir, 'large')}`, 'bs=1000001', 'count=5'], {
    stdio: 'ignore',
  })
  writeFileSync(join(dir, 'small'), 'small')
  writeFileSync(join(dir, 'empty'), '')
  const root = createDirectorySource(dir).open()
  for (const entry of root.entries()) {
    if (entry.kind !== 'file') throw new Error('no file')
    const expected = execFileSync('sha256sum', [join(dir, entry.name.toString())])
      .toString()
      .slice(0, 64)
    const { createHash } = await import('node:crypto')
    const got = createHash('sha256')
      .update(await contentOf(entry.open()))
      .digest('hex')
    expect([entry.name.toString(), got]).toEqual([entry.name.toString(), expected])
  }
  root.close()
})

test('a file that shrinks while it is read ends early instead of failing', async () => {
  const path = join(dir, 'shrinking')
  writeFileSync(path, Buffer.alloc(5 << 20, 1))
  const root = createDirectorySource(dir).open()
  const entry = root.look(Buffer.from('shrinking'))
  if (entry.kind !== 'file') throw new Error('no file')
  const file = entry.open()
  let bytes = 0
  for await (const chunk of file.content()) {
    bytes += chunk.length
    execFileSync('truncate', ['-s', '1500000', path])
  }
  expect(bytes).toBeLessThan(5 << 20)
  expect(file.now().size).toBe(1_500_000n)
  file.close()
  root.close()
})

test('a mounted file system with data is entered and said so, one without is left out', () => {
  mkdirSync(join(dir, 'tmpfs'))
  mkdirSync(join(dir, 'image'))
  const image = join(tmpdir(), `holdfast-image-${process.pid}`)
  execFileSync('truncate', ['-s', '8M', image])
  execFileSync('mkfs.ext4', ['-q', image])
  execFileSync('mount', ['-t', 'tmpfs', 'none', join(dir, 'tmpfs')])
  execFileSync('mount', ['-o', 'loop', image, join(dir, 'image')])
  try {
    const mounts = listed().map((e) => [e.name.toString(), e.kind === 'dir' && e.mount])
    expect(mounts).toEqual([
      ['image', 'entered'],
      ['tmpfs', 'left-out'],
    ])
  } finally {
    execFileSync('umount', [join(dir, 'tmpfs')])
    execFileSync('umount', [join(dir, 'image')])
    rmSync(image)
  }
})

test('a source is measured by what is in it', async () => {
  mkdirSync(join(dir, 'a'))
  writeFileSync(join(dir, 'a', 'f'), Buffer.alloc(1_000))
  linkSync(join(dir, 'a', 'f'), join(dir, 'g'))
  symlinkSync('nowhere', join(dir, 'l'))
  const signal = new AbortController().signal
  expect(await measure(createDirectorySource(dir), signal)).toEqual({
    files: 2,
    directories: 2,
    bytes: 2_000,
  })
  await expect(measure(createDirectorySource(dir), AbortSignal.abort('stop'))).rejects.toBe('stop')
})

test('a source that is missing, or no directory, fails when opened', () => {
  writeFileSync(join(dir, 'file'), '')
  expect(() => createDirectorySource(join(dir, 'none')).open()).toThrow(
    expect.objectContaining({ code: 'ENOENT' }),
  )
  expect(() => createDirectorySource(join(dir, 'file')).open()).toThrow(
    expect.objectContaining({ code: 'ENOTDIR' }),
  )
})

test('where a source lies in a snapshot', () => {
  const path = (source: { path: readonly Buffer[] }) => source.path.map(String)
  expect(path(createVolumeSource('pg', dir))).toEqual(['volumes', 'pg'])
  expect(path(createDirectorySource('/srv//data/'))).toEqual(['srv', 'data'])
  for (const bad of ['srv', '/', '/srv/../etc', '/srv/.']) {
    expect(() => createDirectorySource(bad)).toThrow(RangeError)
  }
})

test('the process stands where it stood before', () => {
  const before = process.cwd()
  writeFileSync(join(dir, 'f'), '')
  listed()
  expect(execFileSync('pwd').toString().trim()).toBe(before)
})
