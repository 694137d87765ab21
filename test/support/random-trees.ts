// Random directory trees with the names, modes, owners and times that make tree encodings differ.

import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { setTimes } from '../../agent/native/file-times.ts'
import { makeSpecialFile } from '../../agent/native/special-file.ts'
import { systemErrorCode } from '../../agent/native/syscall-error.ts'
import { setXattr } from '../../agent/native/xattrs.ts'
import { runes } from '../../agent/repository/go-json.ts'
import { createSeeded, type Seeded } from './seeded.ts'

/**
 * Ranges of code points that every restic since 0.14 (Go 1.19, Unicode 13) classes as we do: Node knows later ones,
 * which we write as they are and restic escapes.
 */
const codePoints: readonly (readonly [number, number])[] = [
  [0x20, 0x2e],
  [0x30, 0x7f],
  [0x80, 0x24f], // with NBSP, soft hyphen and C1 controls
  [0x300, 0x36f], // combining marks
  [0x391, 0x3a1],
  [0x400, 0x4ff],
  [0x5d0, 0x5ea], // right to left
  [0x2000, 0x2064], // spaces, joiners, line separators
  [0x20a0, 0x20b5],
  [0x3041, 0x3096],
  [0x4e00, 0x9fa5],
  [0xac00, 0xd7a3],
  [0xe000, 0xe0ff], // private use: sorts after emoji in UTF-16 and before them in bytes
  [0xfdd0, 0xfdef], // noncharacters
  [0xfff9, 0xfffd],
  [0x1f300, 0x1f5ff],
  [0x1f600, 0x1f64f],
  [0x20000, 0x2a6d6],
  [0xe0001, 0xe0001],
  [0xe0020, 0xe007f],
  [0x10fff0, 0x10ffff],
]

const favourites = [
  'a"b',
  'a\\b',
  '<&>',
  "it's",
  '-rf',
  ' ',
  '...',
  '..a',
  '\n',
  '\t\r',
  '\x1b[31m',
  '\x07\x08\x0b\x0c',
  'a',
  'A',
  '%s',
  '$(x)',
  '*',
  'e\u0301',
  'é',
]

/** One to about 60 bytes, anything but `/`, NUL, `.` and `..`, and no code point that restic may not know yet. */
function randomName(random: Seeded): Buffer {
  const name = rawName(random)
  const text = name.toString('latin1')
  if (text === '.' || text === '..' || text === '') return Buffer.from('x')
  // Random bytes form code points by chance, of any Unicode version.
  for (const { rune, invalid } of runes(name)) {
    if (invalid === undefined && !isSettled(rune)) return Buffer.from('\xff\xc3', 'latin1')
  }
  return name
}

function isSettled(rune: number): boolean {
  return rune < 0x20 || codePoints.some(([least, most]) => rune >= least && rune <= most)
}

function rawName(random: Seeded): Buffer {
  const length = random.between(1, 15)
  switch (random.between(0, 3)) {
    case 0:
      return Buffer.from(random.pick(favourites))
    case 1:
      return random.bytes(length).map((b) => (b === 0 || b === 0x2f ? 0xff : b)) as Buffer
    case 2:
      return Buffer.from(`file-${random.between(0, 9999)}.${random.pick(['txt', 'log', 'db'])}`)
    default:
      return Buffer.from(Array.from({ length }, () => randomRune(random)).join(''))
  }
}

function randomRune(random: Seeded): string {
  const [least, most] = random.pick(codePoints)
  return String.fromCodePoint(random.between(least, most))
}

/** Fill `root` with `count` random directories, each a small tree of its own. */
export function makeRandomTrees(root: string, count: number, seed: string): void {
  const random = createSeeded(seed)
  for (let i = 0; i < count; i++) {
    const path = Buffer.from(`${root}/${String(i).padStart(4, '0')}`)
    mkdirSync(path)
    fill(path, random, 0)
    finish(path, random)
  }
}

function fill(directory: Buffer, random: Seeded, depth: number): void {
  const files: Buffer[] = []
  for (let i = random.between(0, 9); i > 0; i--) {
    const path = Buffer.concat([directory, Buffer.from('/'), randomName(random)])
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) continue
    makeEntry(path, random, depth, files)
  }
}

function makeEntry(path: Buffer, random: Seeded, depth: number, files: Buffer[]): void {
  const kind = random.between(0, 11)
  if (kind <= 1 && depth < 4) {
    mkdirSync(path)
    fill(path, random, depth + 1)
  } else if (kind === 2) {
    // Targets keep to what restic 0.14 writes as later ones do: UTF-8, and neither backspace nor form feed.
    const target = Array.from({ length: random.between(1, 20) }, () => randomRune(random)).join('')
    symlinkSync(target.replaceAll(/[\b\f]/g, ''), path)
  } else if (kind === 3) attempt(() => makeSpecialFile(path, 'fifo', 0n), path)
  else if (kind === 4) {
    const device = random.pick([2049n, 1_048_876n, 259n])
    attempt(() => makeSpecialFile(path, random.pick(['chardev', 'dev'] as const), device), path)
  } else if (kind === 5 && files.length > 0) {
    linkSync(random.pick(files), path)
    return
  } else {
    const size = random.pick([0, 1, 100, 5000, random.between(0, 3000)])
    writeFileSync(path, random.bytes(size))
    files.push(path)
    if (random.oneIn(4)) {
      const value = random.bytes(random.between(0, 30))
      attempt(() => setXattr(path, `user.t${random.between(0, 99)}`, value), path)
    }
  }
  finish(path, random)
}

/** Metadata last, because making entries changes their directory's times. */
function finish(path: Buffer, random: Seeded): void {
  const stat = lstatSync(path)
  const uid = random.pick([0, 0, 33, 1000, 4_000_000_000])
  if (stat.isSymbolicLink()) lchownSync(path, uid, random.pick([0, 5]))
  else {
    chownSync(path, uid, random.pick([0, 33, 70_000]))
    chmodSync(path, random.pick([0o644, 0o600, 0o755, 0o4755, 0o2750, 0o1777, 0, 0o7777]))
  }
  const seconds = random.pick([
    random.between(0, 2 ** 31),
    -random.between(1, 2 ** 31),
    0,
    1_700_000_000,
  ])
  const nanoseconds = random.pick([0, 1, 100_000_000, 120_000_000, random.between(0, 999_999_999)])
  setTimes(path, 0n, BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds))
}

/** What this file system or user may not make becomes an ordinary file. */
function attempt(make: () => void, path: Buffer): void {
  try {
    make()
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) writeFileSync(path, '')
  }
}
