// The judge of every restore: says all that differs between two directory trees, the roots' own metadata included.

import { createHash, hash } from 'node:crypto'
import {
  type BigIntStats,
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs'
import { anchoredPath, descriptorPath } from '../../agent/native/anchored-path.ts'
import { OPEN_CONTENT, OPEN_DIRECTORY } from '../../agent/native/open-flags.ts'
import { readXattrs } from '../../agent/native/xattrs.ts'

/**
 * What can differ. `missing`: only on the left. `extra`: only on the right. `allocation-grew`, `-shrank`:
 * the right takes noticeably more, or less, disk than the left (holes filled, or made). Access and change times
 * are not compared: no program can restore them.
 */
export type Aspect =
  | 'missing'
  | 'extra'
  | 'type'
  | 'mode'
  | 'owner'
  | 'mtime'
  | 'xattrs'
  | 'target'
  | 'device'
  | 'size'
  | 'content'
  | 'allocation-grew'
  | 'allocation-shrank'
  | 'hard-links'

export interface Difference {
  /** Relative to the roots, `.` for the roots themselves; bytes that are not plain ASCII as `\xNN`. */
  readonly path: string
  readonly aspect: Aspect
  readonly left: string
  readonly right: string
}

export interface CompareOptions {
  /** Aspects that may differ. */
  ignore?: readonly Aspect[]
  /** Leave sockets on either side out of the comparison, as every backup does. */
  ignoreSockets?: boolean
}

/** What was looked at, so that a comparison of nothing cannot pass for a success. */
export interface Comparison {
  readonly differences: Difference[]
  readonly entries: number
  /** Bytes of file content hashed on the left. */
  readonly bytes: number
}

/** Compare everything below, and at, two directories. Throws if anything cannot be read. */
export function compareTrees(
  left: Buffer | string,
  right: Buffer | string,
  options: CompareOptions = {},
): Comparison {
  const comparer = new Comparer(options)
  const a = openSync(left, OPEN_DIRECTORY)
  const b = openSync(right, OPEN_DIRECTORY)
  comparer.directories('', a, b)
  comparer.hardLinks()
  return comparer
}

/** One line per difference, for people. */
export function printDifference({ path, aspect, left, right }: Difference): string {
  return `${path}: ${aspect}: ${left} | ${right}`
}

/** Any name byte by byte (one character per byte in `name`), readable in a terminal. */
function printable(name: string): string {
  return name.replace(
    /[^\x20-\x5b\x5d-\x7e]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

const SELF = Buffer.from('.')

class Comparer implements Comparison {
  readonly differences: Difference[] = []
  entries = 0
  bytes = 0
  readonly #ignored: ReadonlySet<Aspect>
  readonly #ignoreSockets: boolean
  /** Paths by inode, per side, of all that is not a directory. */
  readonly #groups = [new Map<string, string[]>(), new Map<string, string[]>()] as const

  constructor({ ignore = [], ignoreSockets = false }: CompareOptions) {
    this.#ignored = new Set(ignore)
    this.#ignoreSockets = ignoreSockets
  }

  #report(path: string, aspect: Aspect, left: string, right: string): void {
    if (this.#ignored.has(aspect)) return
    this.differences.push({ path: printable(path) || '.', aspect, left, right })
  }

  #compare(path: string, aspect: Aspect, left: unknown, right: unknown): void {
    if (left !== right) this.#report(path, aspect, String(left), String(right))
  }

  /** Compare two open directories, itself and all below. Closes both. */
  directories(path: string, left: number, right: number): void {
    try {
      const a = { stat: fstatSync(left, { bigint: true }), path: anchoredPath(left, SELF) }
      const b = { stat: fstatSync(right, { bigint: true }), path: anchoredPath(right, SELF) }
      this.#metadata(path, a, b)
      const names = [this.#names(left), this.#names(right)] as const
      const rightNames = new Set(names[1])
      for (const name of names[0]) {
        const below = path === '' ? name : `${path}/${name}`
        if (!rightNames.delete(name)) this.#report(below, 'missing', 'there', 'not there')
        else this.#entry(below, entryAt(left, name), entryAt(right, name))
      }
      for (const name of rightNames) {
        this.#report(path === '' ? name : `${path}/${name}`, 'extra', 'not there', 'there')
      }
    } finally {
      closeSync(left)
      closeSync(right)
    }
  }

  #names(directory: number): string[] {
    const names = readdirSync(descriptorPath(directory), { encoding: 'latin1' }).sort()
    if (!this.#ignoreSockets) return names
    return names.filter((name) => !entryAt(directory, name).stat.isSocket())
  }

  #entry(path: string, a: Entry, b: Entry): void {
    const [was, is] = [typeOf(a.stat), typeOf(b.stat)]
    if (was !== is) {
      this.#report(path, 'type', was, is)
      return
    }
    if (a.stat.isDirectory()) {
      this.directories(path, openSync(a.path, OPEN_DIRECTORY), openSync(b.path, OPEN_DIRECTORY))
      return
    }
    this.#remember(0, path, a.stat)
    this.#remember(1, path, b.stat)
    this.#metadata(path, a, b)
    if (a.stat.isSymbolicLink()) {
      this.#compare(path, 'target', targetOf(a), targetOf(b))
    } else if (a.stat.isBlockDevice() || a.stat.isCharacterDevice()) {
      this.#compare(path, 'device', a.stat.rdev, b.stat.rdev)
    } else if (a.stat.isFile()) this.#files(path, a, b)
  }

  #metadata(path: string, a: Entry, b: Entry): void {
    this.entries++
    this.#compare(path, 'mode', octal(a.stat.mode), octal(b.stat.mode))
    this.#compare(path, 'owner', `${a.stat.uid}:${a.stat.gid}`, `${b.stat.uid}:${b.stat.gid}`)
    this.#compare(path, 'mtime', a.stat.mtimeNs, b.stat.mtimeNs)
    const [was, is] = [xattrsOf(a), xattrsOf(b)]
    for (const name of new Set([...was.keys(), ...is.keys()])) {
      this.#compare(
        `${path || '.'} [${name}]`,
        'xattrs',
        was.get(name) ?? 'none',
        is.get(name) ?? 'none',
      )
    }
  }

  #files(path: string, a: Entry, b: Entry): void {
    this.#compare(path, 'size', a.stat.size, b.stat.size)
    this.bytes += Number(a.stat.size)
    this.#compare(path, 'content', contentHash(a.path), contentHash(b.path))
    const [was, is] = [a.stat.blocks * 512n, b.stat.blocks * 512n]
    const aspect = is > was ? 'allocation-grew' : 'allocation-shrank'
    // Extent blocks and rounding differ between equal files: 128 KiB and a fiftieth of the size.
    if ((is > was ? is - was : was - is) > 131_072n + a.stat.size / 50n) {
      this.#report(path, aspect, `${was} bytes`, `${is} bytes`)
    }
  }

  #remember(side: 0 | 1, path: string, stat: BigIntStats): void {
    const inode = `${stat.dev}:${stat.ino}`
    const group = this.#groups[side].get(inode)
    if (group) group.push(path)
    else this.#groups[side].set(inode, [path])
  }

  /** Once all entries are known: are the same paths links of one another on both sides? */
  hardLinks(): void {
    const partner = (side: 0 | 1) => {
      const names = new Map<string, string>()
      for (const paths of this.#groups[side].values()) {
        for (const path of paths) names.set(path, paths.map(printable).sort().join(' = '))
      }
      return names
    }
    const left = partner(0)
    const right = partner(1)
    for (const [path, group] of left) {
      if (right.has(path)) this.#compare(path, 'hard-links', group, right.get(path))
    }
  }
}

interface Entry {
  readonly path: Buffer
  readonly stat: BigIntStats
}

function entryAt(directory: number, name: string): Entry {
  const path = anchoredPath(directory, Buffer.from(name, 'latin1'))
  return { path, stat: lstatSync(path, { bigint: true }) }
}

function typeOf(stat: BigIntStats): string {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isFIFO()) return 'fifo'
  if (stat.isSocket()) return 'socket'
  return stat.isBlockDevice() ? 'block device' : 'character device'
}

function octal(mode: bigint): string {
  return (mode & 0o7777n).toString(8).padStart(4, '0')
}

function targetOf(entry: Entry): string {
  return printable(readlinkSync(entry.path, 'latin1'))
}

/** Values in hex by name; long ones as length and hash. */
function xattrsOf(entry: Entry): Map<string, string> {
  return new Map(
    readXattrs(entry.path).map(({ name, value }) => [
      name.toString('latin1'),
      value.length <= 64
        ? `0x${value.toString('hex')}`
        : `${value.length} bytes, ${hash('sha256', value)}`,
    ]),
  )
}

/** Long enough that the system call costs nothing beside hashing. */
const buffer = Buffer.allocUnsafeSlow(1 << 20)

function contentHash(path: Buffer): string {
  const fd = openSync(path, OPEN_CONTENT)
  try {
    const digest = createHash('sha256')
    for (;;) {
      const count = readSync(fd, buffer, 0, buffer.length, null)
      if (count === 0) return digest.digest('hex')
      digest.update(buffer.subarray(0, count))
    }
  } finally {
    closeSync(fd)
  }
}
