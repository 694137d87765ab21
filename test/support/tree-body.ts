// The ordinary part of a test tree: files of many sizes, from random bytes to text, some of them alike.

import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createSeeded, type Seeded } from './seeded.ts'

const KIB = 1 << 10
const MIB = 1 << 20

/** How files are filled, and how much of the whole each kind is: about what a server holds. */
const kinds = [
  { name: 'random', share: 3, fill: (seeded: Seeded, length: number) => seeded.bytes(length) },
  { name: 'rows', share: 4, fill: rows },
  { name: 'log', share: 2, fill: log },
  { name: 'pages', share: 3, fill: pages },
] as const

/** Make the directory `root` and fill it with `bytes` bytes, the same for the same seed. */
export function writeBody(root: string, bytes: number, seed: string): void {
  const seeded = createSeeded(`body ${seed}`)
  mkdirSync(root)
  let left = bytes
  for (let number = 0; left > 0; number++) {
    const directory = `${root}/d${String(seeded.between(0, 39)).padStart(2, '0')}`
    mkdirSync(directory, { recursive: true })
    const length = Math.min(left, sizeOf(seeded, bytes))
    const kind = seeded.pick(kinds.flatMap((k) => Array<typeof k>(k.share).fill(k)))
    const path = `${directory}/${kind.name}-${String(number).padStart(6, '0')}`
    const content = kind.fill(seeded, length)
    writeFileSync(path, content)
    left -= length
    // Now and then a whole copy elsewhere, which a deduplicating store must not keep twice.
    if (seeded.oneIn(12) && length <= left) {
      writeFileSync(`${path}-copy`, content)
      left -= length
    }
  }
}

/** Mostly small files, most bytes in large ones; none above an eighth of the whole. */
function sizeOf(seeded: Seeded, bytes: number): number {
  const drawn = seeded.between(1, 100)
  const [least, most] =
    drawn <= 50
      ? [0, 4 * KIB]
      : drawn <= 85
        ? [1, 64 * KIB]
        : drawn <= 97
          ? [64 * KIB, 2 * MIB]
          : [2 * MIB, 24 * MIB]
  return Math.min(seeded.between(least, most), Math.ceil(bytes / 8))
}

const words =
  'alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november'
    .split(' ')
    .concat('insert update patient visit invoice pending closed true false null'.split(' '))

/** Lines of a table: compress to about a quarter. */
function rows(seeded: Seeded, length: number): Buffer {
  return lines(length, (i) => {
    const id = seeded.between(1, 999_999_999)
    return `${i},${id},${seeded.pick(words)} ${seeded.pick(words)},${id % 9973}.${id % 97},${seeded.pick(words)}\n`
  })
}

/** Lines of a log: compress to about a tenth. */
function log(seeded: Seeded, length: number): Buffer {
  let time = 1_700_000_000
  return lines(length, () => {
    time += seeded.between(0, 3)
    return `${time} [worker-${seeded.between(1, 8)}] INFO request finished path=/api/v1/${seeded.pick(words)} status=200\n`
  })
}

function lines(length: number, line: (i: number) => string): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0, i = 0; at < length; i++) at += bytes.write(line(i), at, 'latin1')
  return bytes
}

/** Pages of 8 KiB, half of each random and half zeros, as database files are. */
function pages(seeded: Seeded, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 8 * KIB)
    seeded.bytes(Math.min(4 * KIB, length - at)).copy(bytes, at)
  return bytes
}

export interface BodyChange {
  /** Bytes written, new and overwritten. */
  bytes: number
  filesChanged: number
  filesAdded: number
  filesRemoved: number
}

/** Change about one percent of the bytes that `writeBody` wrote at `root`: in place, appended, added, removed. */
export function changeBody(root: string, seed: string): BodyChange {
  const seeded = createSeeded(`change ${seed}`)
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => ({ path: `${root}/${name}`, stat: statSync(`${root}/${name}`) }))
    .filter(({ stat }) => stat.isFile())
  const total = files.reduce((sum, { stat }) => sum + stat.size, 0)
  const budget = Math.max(1, Math.floor(total / 100))
  const change: BodyChange = { bytes: 0, filesChanged: 0, filesAdded: 0, filesRemoved: 0 }
  const spend = (length: number) => {
    const bytes = seeded.bytes(Math.min(length, budget - change.bytes))
    change.bytes += bytes.length
    return bytes
  }
  const touched = new Set<string>()
  const smallest = files.toSorted((a, b) => a.stat.size - b.stat.size)[0]
  if (smallest) {
    rmSync(smallest.path)
    touched.add(smallest.path)
    change.filesRemoved++
  }
  while (change.bytes < budget && touched.size < files.length) {
    const { path, stat } = seeded.pick(files)
    if (touched.has(path)) continue
    touched.add(path)
    const kind = seeded.pick(['inside', 'append', 'add'])
    if (kind === 'add') {
      writeFileSync(`${path}-added`, spend(seeded.between(1, 256 * KIB)))
      change.filesAdded++
      continue
    }
    if (kind === 'append') appendFileSync(path, spend(seeded.between(1, 128 * KIB)))
    else overwrite(path, spend(Math.min(64 * KIB, stat.size)), seeded.between(0, stat.size))
    change.filesChanged++
  }
  return change
}

function overwrite(path: string, bytes: Buffer, at: number): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, Math.max(0, at - bytes.length))
  closeSync(fd)
}
