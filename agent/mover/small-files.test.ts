import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { idOf } from '../repository/id.ts'
import { createDirectorySource } from '../sources/directory.ts'
import type { SourceDirectory, SourceFile } from '../sources/source.ts'
import { SMALL_FILE, SmallFiles, type SmallOutcome } from './small-files.ts'
import type { FileEntry, Saved } from './steady-read.ts'

let dir: string
let root: SourceDirectory
/** Far enough from now that no file counts as changed a moment ago. */
const clock = { now: () => Date.now() + 60_000, monotonic: () => 0, sleep: async () => {} }

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-small-'))
  root = createDirectorySource(dir).open()
})
afterEach(() => {
  root.close()
  rmSync(dir, { recursive: true })
})

/** The entry `name`; `during` runs in the middle of its read. */
function entry(name: string, during: () => void = () => {}): FileEntry {
  const looked = root.look(Buffer.from(name)) as FileEntry
  const open = (): SourceFile => {
    const file = looked.open()
    const readInto = (into: Buffer) => {
      const count = file.readInto(into)
      during()
      return count
    }
    return {
      stat: file.stat,
      content: () => [],
      readInto,
      now: () => file.now(),
      close: () => file.close(),
    }
  }
  return { ...looked, open }
}

interface Kept extends Saved {
  readonly text: string
}

function createSmall(save?: (text: string) => Promise<void>): SmallFiles<Kept> {
  return new SmallFiles<Kept>({
    clock,
    async save(bytes) {
      const text = Buffer.concat(bytes).toString()
      await save?.(text)
      // What was lent must still be what it was.
      expect(Buffer.concat(bytes).toString()).toBe(text)
      return { content: [], size: BigInt(text.length), text }
    },
  })
}

const openFiles = () => readdirSync('/proc/self/fd').length

test('quiet files are saved as they are, in the order they were opened', async () => {
  const saved: string[] = []
  const small = createSmall(async (text) => void saved.push(text))
  const names = Array.from({ length: 40 }, (_, i) => `f${i}`)
  const outcomes: Promise<SmallOutcome<Kept>>[] = []
  const before = openFiles()
  for (const name of names) {
    writeFileSync(join(dir, name), name === 'f3' ? '' : `content of ${name}`)
    await small.ready()
    outcomes.push(small.open(entry(name))!)
  }
  expect(openFiles() - before).toBeLessThanOrEqual(16)
  await small.finish()
  expect(openFiles()).toBe(before)
  const expected = names.map((name) => (name === 'f3' ? '' : `content of ${name}`))
  const done = await Promise.all(outcomes)
  expect(done.map((one) => one.kind === 'saved' && one.saved.text)).toEqual(expected)
  expect(saved).toEqual(expected)
})

test.each([
  ['written to', () => appendFileSync(join(dir, 'f'), '!'), 'once'],
  ['touched', () => utimesSync(join(dir, 'f'), 1, 1), 'once'],
])(
  'a file that is %s while it is read is left to the steady read, with what was read',
  async (_, change, text) => {
    writeFileSync(join(dir, 'f'), text)
    const small = createSmall()
    const outcome = small.open(entry('f', change))!
    await small.finish()
    expect(await outcome).toEqual({
      kind: 'other',
      earlier: { size: text.length, hash: idOf(Buffer.from(text)) },
    })
  },
)

test('a file that shrank before its read is left to the steady read', async () => {
  writeFileSync(join(dir, 'f'), 'long enough')
  const small = createSmall()
  const outcome = small.open(entry('f'))!
  writeFileSync(join(dir, 'f'), 'short')
  await small.finish()
  expect(await outcome).toMatchObject({ kind: 'other', earlier: { size: 5 } })
})

test('what grew beyond a small file, vanished, or changed a moment ago is not opened here', () => {
  const small = createSmall()
  writeFileSync(join(dir, 'f'), 'x')
  const grown = entry('f')
  writeFileSync(join(dir, 'f'), Buffer.alloc(SMALL_FILE + 1))
  const before = openFiles()
  expect(small.open(grown)).toBeUndefined()
  writeFileSync(join(dir, 'g'), 'x')
  const gone = entry('g')
  rmSync(join(dir, 'g'))
  expect(small.open(gone)).toBeUndefined()
  writeFileSync(join(dir, 'h'), 'x')
  const hot = new SmallFiles<Kept>({
    clock: { ...clock, now: () => Date.now() },
    save: () => Promise.reject(),
  })
  expect(hot.open(entry('h'))).toBeUndefined()
  expect(openFiles()).toBe(before)
})

test('files wait while the writer has not done with those before, and go on when it has', async () => {
  const go: (() => void)[] = []
  const small = createSmall(() => new Promise<void>((resolve) => go.push(resolve)))
  writeFileSync(join(dir, 'f'), Buffer.alloc(SMALL_FILE, 'x'))
  let opened = 0
  while (small.ready() === undefined) {
    small.open(entry('f'))
    opened++
  }
  expect(opened * SMALL_FILE).toBeGreaterThan(4 << 20)
  expect(opened * SMALL_FILE).toBeLessThan(16 << 20)
  const waiting = small.ready()!
  for (const done of go.splice(0)) done()
  await waiting
  small.open(entry('f'))
  const finished = small.finish()
  for (; go.length > 0; await new Promise(setImmediate)) for (const done of go.splice(0)) done()
  await finished
})

test('an error of the writer reaches whoever waits for the file, and leaves room for others', async () => {
  writeFileSync(join(dir, 'f'), 'x')
  const small = createSmall(() => Promise.reject(new Error('store is gone')))
  const outcome = small.open(entry('f'))!
  outcome.catch(() => {})
  await small.finish()
  await expect(outcome).rejects.toThrow('store is gone')
  expect(small.ready()).toBeUndefined()
})

test('what is given up is closed and not read', async () => {
  writeFileSync(join(dir, 'f'), 'x')
  const before = openFiles()
  const small = createSmall(() => Promise.reject(new Error('not to be saved')))
  const outcome = small.open(entry('f'))!
  small.giveUp()
  expect(await outcome).toEqual({ kind: 'other' })
  expect(openFiles()).toBe(before)
})
