// What is backed up: trees that come out the same for the same seed, made when a case needs them.
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { createSeeded } from '../support/seeded.ts'
import { createDice, writeSql } from './sql-text.ts'

export interface Extent {
  readonly files: number
  /** Bytes of content. */
  readonly bytes: number
}

export interface DataSet {
  /** As the cases name it. */
  readonly name: string
  /** What it holds, for people; `scale` is the share of the full size. */
  describe(scale: number): string
  /** Fills the empty directory `tree`. */
  make(tree: string, scale: number): void
  /** Changes about one percent of its bytes in place; another hundredth for another seed. */
  change?(tree: string, seed: string): void
}

const MB = 1_000_000
const MIB = 1 << 20
/** Files of one directory, as mail folders and upload folders have them. */
const FILES_PER_DIRECTORY = 200

/** The big file of a set that has one. */
export const dumpName = 'dump.sql'

function writeNoise(path: string, bytes: number, seed: string): void {
  const seeded = createSeeded(seed)
  const fd = openSync(path, 'w')
  for (let left = bytes; left > 0; ) {
    left -= writeSync(fd, seeded.bytes(Math.min(left, 8 * MIB)))
  }
  closeSync(fd)
}

/** Three kinds of small files in equal parts: rows of text, noise, and both. None equals another. */
function writeSmallFiles(
  tree: string,
  options: { files: number; least: number; most: number; seed: string },
): void {
  const { files, least, most, seed } = options
  const dice = createDice(`sizes ${seed}`)
  const seeded = createSeeded(`small ${seed}`)
  const textFile = join(tree, '.text')
  writeSql(textFile, 16 * MB, seed)
  const text = readFileSync(textFile)
  rmSync(textFile)
  for (let i = 0; i < files; i++) {
    const directory = join(tree, `d${String(Math.floor(i / FILES_PER_DIRECTORY)).padStart(5, '0')}`)
    if (i % FILES_PER_DIRECTORY === 0) mkdirSync(directory)
    const length = least + dice(most - least + 1)
    const noise = i % 3 === 0 ? 0 : i % 3 === 1 ? length : length >> 1
    const from = dice(text.length - most)
    const content = Buffer.from(text.subarray(from, from + length))
    if (noise > 0) seeded.bytes(noise).copy(content)
    content.write(`#${i}\n`)
    writeFileSync(join(directory, `f${String(i).padStart(7, '0')}`), content)
  }
}

/** Overwrites stretches of a file in place, a hundredth of it in all. */
function overwrite(path: string, seed: string, bytes: (length: number) => Buffer): void {
  const size = lstatSync(path).size
  const dice = createDice(`places ${seed}`)
  // Longer than most chunks: how many of them a stretch happens to touch then hardly counts.
  const stretch = Math.min(2 * MIB, Math.ceil(size / 100))
  const fd = openSync(path, 'r+')
  for (let left = size / 100; left > 0; left -= stretch) {
    const fresh = bytes(Math.min(stretch, Math.ceil(left)))
    writeSync(fd, fresh, 0, fresh.length, dice(Math.max(1, size - fresh.length)))
  }
  closeSync(fd)
}

const mixed: DataSet = {
  name: 'mixed',
  describe: (scale) =>
    `${400 * scale} MB of SQL text, ${400 * scale} MB incompressible, ${12_000 * scale} files of 1 to 24 kB`,
  make(tree, scale) {
    mkdirSync(join(tree, 'media'))
    mkdirSync(join(tree, 'files'))
    writeSql(join(tree, dumpName), 400 * MB * scale, 'mixed')
    // Four, as a folder of videos or archives has several.
    for (let i = 0; i < 4; i++) {
      writeNoise(join(tree, 'media', `scan-${i}.bin`), 100 * MB * scale, `mixed ${i}`)
    }
    const files = 12_000 * scale
    writeSmallFiles(join(tree, 'files'), { files, least: 1_000, most: 24_000, seed: 'mixed' })
  },
  change(tree, seed) {
    const seeded = createSeeded(`fresh ${seed}`)
    const text = readFileSync(join(tree, dumpName)).subarray(0, 8 * MIB)
    const dice = createDice(`rows ${seed}`)
    // Rows that are there already somewhere else, with a number of their own: new to every store.
    overwrite(join(tree, dumpName), seed, (length) => {
      const rows = Buffer.from(text.subarray(dice(text.length - length))).subarray(0, length)
      for (let at = 0; at + 9 < rows.length; at += 4_096) rows.write(String(dice(1e9)), at)
      return rows
    })
    for (const name of readdirSync(join(tree, 'media'))) {
      overwrite(join(tree, 'media', name), `${seed} ${name}`, (length) => seeded.bytes(length))
    }
    const folders = readdirSync(join(tree, 'files'))
    for (const folder of folders) {
      for (const name of readdirSync(join(tree, 'files', folder))) {
        if (dice(100) === 0) {
          writeFileSync(join(tree, 'files', folder, name), seeded.bytes(1_000 + dice(23_000)))
        }
      }
    }
  },
}

const sql: DataSet = {
  name: 'SQL text',
  describe: (scale) => `one file of ${1_000 * scale} MB of SQL text`,
  make: (tree, scale) => writeSql(join(tree, dumpName), 1_000 * MB * scale, 'sql'),
}

const noise: DataSet = {
  name: 'incompressible',
  describe: (scale) => `one file of ${1_000 * scale} MB that nothing shrinks`,
  make: (tree, scale) => writeNoise(join(tree, 'noise.bin'), 1_000 * MB * scale, 'noise'),
}

/** Small enough that 1/10 of it is about 100 MB at the quick scale, which is 1/20 here. */
const files: DataSet = {
  name: '200,000 files',
  describe: (scale) => `${200_000 * (scale < 1 ? scale / 2 : 1)} files of 1 to 20 kB`,
  make(tree, scale) {
    const count = 200_000 * (scale < 1 ? scale / 2 : 1)
    writeSmallFiles(tree, { files: count, least: 1_000, most: 20_000, seed: 'files' })
  },
}

const million: DataSet = {
  name: '1,000,000 files',
  describe: (scale) => `${1_000_000 * scale} files of 100 to 1,000 bytes`,
  make: (tree, scale) =>
    writeSmallFiles(tree, {
      files: 1_000_000 * scale,
      least: 100,
      most: 1_000,
      seed: 'million',
    }),
}

export const dataSets = { mixed, sql, noise, files, million } as const
export type DataSetName = keyof typeof dataSets

/** Counts what `tree` holds and reads all of it once, so that nobody's first run pays for a cold disk. */
export function warm(tree: string): Extent {
  const buffer = Buffer.allocUnsafeSlow(MIB)
  let bytes = 0
  let count = 0
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    count++
    const fd = openSync(join(entry.parentPath, entry.name), 'r')
    for (let got = -1; got !== 0; bytes += got) got = readSync(fd, buffer, 0, buffer.length, null)
    closeSync(fd)
  }
  return { files: count, bytes }
}
