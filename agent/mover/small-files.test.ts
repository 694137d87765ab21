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
import type { SourceDirectory } from '../sources/source.ts'
import { type OpenSmall, SMALL_FILE, SmallFiles, type SmallOutcome } from './small-files.ts'
import { type FileEntry, type Saved, sameContent } from './steady-read.ts'

let dir: string
let root: SourceDirectory

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-small-'))
  root = createDirectorySource(dir).open()
})
afterEach(() => {
  root.close()
  rmSync(dir, { recursive: true })
})

/** The file `name`, open; `during` runs in the middle of its read. */
function open(name: string, during: () => void = () => {}): OpenSmall {
  const file = (root.look(Buffer.from(name)) as FileEntry).open()
  return {
    size: Number(file.stat.size),
    readInto(into) {
      const count = file.readInto(into)
      during()
      return count
    },
    isSteady: () => sameContent(file.stat, file.now()),
    close: () => file.close(),
  }
}

interface Kept extends Saved {
  readonly text: string
}

function createSmall(save?: (text: string) => Promise<void>): SmallFiles<Kept> {
  return new SmallFiles<Kept>({
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
    outcomes.push(small.take(open(name)))
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
    const outcome = small.take(open('f', change))
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
  const outcome = small.take(open('f'))
  writeFileSync(join(dir, 'f'), 'short')
  await small.finish()
  expect(await outcome).toMatchObject({ kind: 'other', earlier: { size: 5 } })
})

test('files wait while the writer has not done with those before, and go on when it has', async () => {
  const go: (() => void)[] = []
  const small = createSmall(() => new Promise<void>((resolve) => go.push(resolve)))
  writeFileSync(join(dir, 'f'), Buffer.alloc(SMALL_FILE, 'x'))
  let opened = 0
  while (small.ready() === undefined) {
    small.take(open('f'))
    opened++
  }
  expect(opened * SMALL_FILE).toBeGreaterThan(4 << 20)
  expect(opened * SMALL_FILE).toBeLessThan(16 << 20)
  const waiting = small.ready()!
  for (const done of go.splice(0)) done()
  await waiting
  small.take(open('f'))
  const finished = small.finish()
  for (; go.length > 0; await new Promise(setImmediate)) for (const done of go.splice(0)) done()
  await finished
})

test('an error of the writer reaches whoever waits for the file, and leaves room for others', async () => {
  writeFileSync(join(dir, 'f'), 'x')
  const small = createSmall(() => Promise.reject(new Error('store is gone')))
  const outcome = small.take(open('f'))
  outcome.catch(() => {})
  await small.finish()
  await expect(outcome).rejects.toThrow('store is gone')
  expect(small.ready()).toBeUndefined()
})

test('what is given up is closed and not read', async () => {
  writeFileSync(join(dir, 'f'), 'x')
  const before = openFiles()
  const small = createSmall(() => Promise.reject(new Error('not to be saved')))
  const outcome = small.take(open('f'))
  small.giveUp()
  expect(await outcome).toEqual({ kind: 'other' })
  expect(openFiles()).toBe(before)
})
