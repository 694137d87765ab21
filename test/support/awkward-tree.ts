// A directory tree with one of everything that backups get wrong.

import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { setTimes } from '../../agent/native/file-times.ts'
import { makeSpecialFile } from '../../agent/native/special-file.ts'
import { systemErrorCode } from '../../agent/native/syscall-error.ts'
import { setXattr } from '../../agent/native/xattrs.ts'
import { writeBody } from './tree-body.ts'

export interface AwkwardOptions {
  /** Bytes of ordinary content beside the awkward entries. */
  bodyBytes: number
  /** The same seed makes the same tree. */
  seed: string
}

/**
 * Fill the existing, empty directory `root` and give it metadata of its own.
 * Returns what this user or file system could not make (nothing for root on ext4, xfs or btrfs).
 */
export function makeAwkwardTree(root: string, { bodyBytes, seed }: AwkwardOptions): string[] {
  const leftOut: string[] = []
  const attempt: Attempt = (what, make) => {
    try {
      make()
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === undefined) throw error
      leftOut.push(`${what} (${code})`)
    }
  }
  if (bodyBytes > 0) writeBody(`${root}/body`, bodyBytes, seed)
  const at = (name: string) => Buffer.from(`${root}/${name}`)
  makeOwners(at, attempt)
  makeNames(at, attempt)
  makeLinks(at, attempt)
  makeAttributes(at, attempt)
  makeSpecials(at, attempt)
  makeSparse(at)
  makeTimes(at)
  attempt('an owner of the root', () => lchownSync(root, 999, 998))
  attempt('an attribute of the root', () => setXattr(root, 'user.root', Buffer.from('kept')))
  chmodSync(root, 0o2750)
  setTimes(root, 0n, 1_234_567_890_123_456_789n)
  return leftOut
}

type At = (name: string) => Buffer
type Attempt = (what: string, make: () => void) => void

function file(path: Buffer, content = 'content\n', mode = 0o644): Buffer {
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

function makeOwners(at: At, attempt: Attempt): void {
  mkdirSync(at('owners'))
  const owners: [string, number, number, number][] = [
    ['database', 999, 999, 0o600],
    ['large-ids', 3_000_000_000, 4_000_000_000, 0o640],
    ['setuid', 0, 0, 0o4755],
    ['setgid', 0, 50, 0o2755],
    ['all-bits', 33, 33, 0o7777],
    ['no-bits', 0, 0, 0o000],
  ]
  for (const [name, uid, gid, mode] of owners) {
    const path = file(at(`owners/${name}`))
    attempt(`owner ${uid}:${gid}`, () => lchownSync(path, uid, gid))
    chmodSync(path, mode) // after the owner: chown clears setuid and setgid
  }
  mkdirSync(at('owners/sticky'))
  chmodSync(at('owners/sticky'), 0o1777)
  mkdirSync(at('owners/closed'))
  file(at('owners/closed/inside'))
  chmodSync(at('owners/closed'), 0o000)
}

/** Names that are legal on Linux: anything but a slash and NUL. */
const names: readonly Buffer[] = [
  ...[
    'new\nline',
    'tab\tbell\x07escape\x1b',
    `quotes ' " \` and \\ backslash`,
    ' spaces around ',
    '-rf',
    '--help',
    '*?[a-z]{b,c}',
    '%s%n%00',
    '$(touch x); & | < >',
    '~',
    '...',
    '.hidden',
    'emoji \u{1f9ef}\u{1f468}\u200d\u{1f469}\u200d\u{1f467}',
    'line\u2028separator\u2029',
    'caf\u00e9', // one code point
    'cafe\u0301', // two: looks the same, is another name
    'Case',
    'case',
    'no\u00a0break',
    'replacement \ufffd',
    'right\u202eto left',
    '\u{10ffff}',
    'x'.repeat(255),
    '\u{1f4be}'.repeat(63),
  ].map((name) => Buffer.from(name)),
  Buffer.from([0xff]),
  Buffer.from([0xfe, 0x0a, 0x22, 0x5c, 0x80]),
  Buffer.from('latin1 \xe9t\xe9', 'latin1'),
  Buffer.from([0xed, 0xa0, 0x80]), // half a surrogate pair
  Buffer.from([0xc0, 0xaf]), // an overlong slash
  Buffer.alloc(255, 0xf0),
]

function makeNames(at: At, attempt: Attempt): void {
  mkdirSync(at('names'))
  for (const name of names) {
    // Some file systems take only UTF-8 names.
    attempt(`name ${name.toString('hex')}`, () => {
      file(Buffer.concat([at('names/'), name]), `I am ${name.toString('hex')}\n`)
    })
  }
  attempt('a directory name that is not UTF-8', () => {
    const directory = Buffer.concat([at('names/'), Buffer.from([0x64, 0xff, 0x0a])])
    mkdirSync(directory)
    file(Buffer.concat([directory, Buffer.from('/'), Buffer.from([0x80])]))
  })
  let deep = 'deep'
  mkdirSync(at(deep))
  for (let i = 0; i < 60; i++) {
    deep += `/level-${i}`
    mkdirSync(at(deep))
  }
  file(at(`${deep}/bottom`))
}

function makeLinks(at: At, attempt: Attempt): void {
  mkdirSync(at('links'))
  mkdirSync(at('links/elsewhere'))
  file(at('links/first'), 'shared by three names\n')
  linkSync(at('links/first'), at('links/second'))
  linkSync(at('links/first'), at('links/elsewhere/third'))
  file(at('links/empty-one'), '')
  linkSync(at('links/empty-one'), at('links/empty-two'))
  const targets: [string, Buffer | string][] = [
    ['to-file', 'first'],
    ['to-directory', 'elsewhere'],
    ['dangling', 'nowhere/at all'],
    ['absolute', '/etc/passwd'],
    ['up', '../../../../../../../etc'],
    ['itself', 'itself'],
    ['newline', 'a\nb'],
    ['not-utf8', Buffer.from([0x2e, 0x2f, 0xff, 0x80, 0x0a])],
    ['long', 'y/'.repeat(2_000)],
  ]
  for (const [name, target] of targets) symlinkSync(target, at(`links/${name}`))
  attempt('an owner of a symlink', () => lchownSync(at('links/dangling'), 1_000, 1_001))
  setTimes(at('links/dangling'), 0n, 1_111_111_111_111_111_111n)
}

/** An access ACL: user 12345 may read and write beside the owner; the mask is the group bits. */
const accessAcl = acl([
  [0x01, 6, -1],
  [0x02, 6, 12_345],
  [0x04, 4, -1],
  [0x08, 4, 54_321],
  [0x10, 6, -1],
  [0x20, 0, -1],
])

/** The kernel's layout of `system.posix_acl_*`: version 2, then tag, permissions and id of each entry. */
export function acl(
  entries: readonly (readonly [tag: number, bits: number, id: number])[],
): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8)
  bytes.writeUInt32LE(2, 0)
  entries.forEach(([tag, bits, id], i) => {
    bytes.writeUInt16LE(tag, 4 + i * 8)
    bytes.writeUInt16LE(bits, 6 + i * 8)
    bytes.writeInt32LE(id, 8 + i * 8)
  })
  return bytes
}

/** `cap_net_raw=ep` in the kernel's layout, revision 2. */
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')

function makeAttributes(at: At, attempt: Attempt): void {
  mkdirSync(at('attributes'))
  const set = (path: Buffer, name: string, value: Buffer) =>
    attempt(`attribute ${name}`, () => setXattr(path, name, value))
  const several = file(at('attributes/several'))
  set(several, 'user.text', Buffer.from('text'))
  set(several, 'user.empty', Buffer.alloc(0))
  set(several, 'user.bytes', Buffer.from([0, 255, 10, 34, 0]))
  set(several, 'user.2k', Buffer.alloc(2_000, 'v'))
  set(several, 'user.n\u00e4me', Buffer.from('a name beyond ASCII'))
  set(several, 'trusted.overlay.opaque', Buffer.from('y'))
  set(file(at('attributes/acl'), 'x', 0o640), 'system.posix_acl_access', accessAcl)
  mkdirSync(at('attributes/directory'))
  set(at('attributes/directory'), 'user.on-directory', Buffer.from('d'))
  set(at('attributes/directory'), 'system.posix_acl_access', accessAcl)
  set(at('attributes/directory'), 'system.posix_acl_default', accessAcl)
  file(at('attributes/directory/inherits'))
  set(file(at('attributes/program'), '#!/bin/true\n', 0o755), 'security.capability', capability)
  set(file(at('attributes/read-only'), 'r', 0o444), 'user.on-read-only', Buffer.from('r'))
}

function makeSpecials(at: At, attempt: Attempt): void {
  mkdirSync(at('special'))
  const specials = [
    ['fifo', 'fifo', 0n],
    ['null', 'chardev', 259n], // 1:3
    ['large-minor', 'chardev', 1_048_876n], // 1:300
    ['disk', 'dev', 2_049n], // 8:1
    ['socket', 'socket', 0n],
  ] as const
  for (const [name, kind, device] of specials) {
    attempt(`a ${kind}`, () => {
      makeSpecialFile(at(`special/${name}`), kind, device)
      chmodSync(at(`special/${name}`), 0o660)
      setTimes(at(`special/${name}`), 0n, 1_500_000_000_000_000_007n)
    })
  }
}

const MIB = 1 << 20

function makeSparse(at: At): void {
  mkdirSync(at('sparse'))
  const sparse = (name: string, size: number, islands: readonly number[]) => {
    const fd = openSync(at(`sparse/${name}`), 'w')
    for (const offset of islands)
      writeSync(fd, Buffer.alloc(4_096, offset % 251 || 1), 0, 4_096, offset)
    ftruncateSync(fd, size)
    closeSync(fd)
  }
  sparse('only-a-hole', 8 * MIB, [])
  sparse('islands', 32 * MIB, [0, 5 * MIB, 5 * MIB + 8_192, 20 * MIB])
  sparse('hole-at-start', 6 * MIB + 123, [6 * MIB - 4_096])
  sparse('data-at-both-ends', 16 * MIB, [0, 16 * MIB - 4_096])
  file(at('sparse/written-zeros'), '\0'.repeat(64 << 10))
}

function makeTimes(at: At): void {
  mkdirSync(at('times'))
  const times: [string, bigint][] = [
    ['nanosecond', 1_700_000_000_000_000_001n],
    ['whole-second', 1_700_000_000_000_000_000n],
    ['tenth', 1_700_000_000_100_000_000n],
    ['epoch', 0n],
    ['before-1970', -1n],
    ['long-before', -1_500_000_000_123_456_789n],
    ['after-2038', 4_102_444_800_999_999_999n],
  ]
  for (const [name, ns] of times) setTimes(file(at(`times/${name}`), ''), ns, ns)
  mkdirSync(at('times/empty-directory'))
  setTimes(at('times/empty-directory'), 0n, 987_654_321_987_654_321n)
  setTimes(at('times'), 0n, 1_000_000_000_000_000_009n)
}
