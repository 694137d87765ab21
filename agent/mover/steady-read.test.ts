import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Clock } from '../../shared/clock.ts'
import { createDirectorySource } from '../sources/directory.ts'
import { systemOpen } from '../sources/file-content.ts'
import type { SourceDirectory } from '../sources/source.ts'
import { Slots } from './slots.ts'
import { type Chunks, type FileEntry, readSteadily } from './steady-read.ts'

let dir: string
let path: string
let root: SourceDirectory
let saves: Buffer[]
/** Runs in the middle of each read, with the number of the read from 1. */
let during: (read: number) => void
/** Runs before each open, with the number of the open from 1. */
let opening: (open: number) => void

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-steady-'))
  path = join(dir, 'file')
  saves = []
  during = () => {}
  opening = () => {}
})
afterEach(() => {
  root.close()
  rmSync(dir, { recursive: true })
})

const slept: number[] = []
const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms) => {
    slept.push(ms)
    await sleep(ms)
  },
}

async function save(chunks: Chunks) {
  const parts: Buffer[] = []
  for await (const chunk of chunks) {
    parts.push(Buffer.from(chunk))
    if (parts.length === 1) during(saves.length + 1)
  }
  if (parts.length === 0) during(saves.length + 1)
  const bytes = Buffer.concat(parts)
  saves.push(bytes)
  return { content: [], size: BigInt(bytes.length) }
}

async function run(signal = new AbortController().signal) {
  let opens = 0
  const open = (at: Buffer, flags: number) => {
    opening(++opens)
    return systemOpen(at, flags)
  }
  root = createDirectorySource(dir, { open }).open()
  const entry = root.look(Buffer.from('file')) as FileEntry
  const look = () => root.look(Buffer.from('file'))
  return readSteadily(entry, { look, save, reading: new Slots(1), clock, signal })
}

const sizes = [
  ['small', 1_000],
  ['large', 3_000_000],
] as const

test.each(sizes)('a quiet %s file is read once', async (_, size) => {
  writeFileSync(path, Buffer.alloc(size, 'q'))
  const outcome = await run()
  expect(outcome).toMatchObject({ kind: 'saved' })
  expect(outcome).not.toHaveProperty('change')
  expect(saves).toEqual([Buffer.alloc(size, 'q')])
})

test.each(sizes)(
  'a %s file that changes once is read again, and nothing is said',
  async (_, size) => {
    writeFileSync(path, Buffer.alloc(size, '1'))
    during = (read) => read === 1 && writeFileSync(path, Buffer.alloc(size, '2'))
    const outcome = await run()
    expect(outcome).not.toHaveProperty('change')
    expect(saves).toHaveLength(2)
    expect(saves[1]!.equals(Buffer.alloc(size, '2'))).toBe(true)
  },
)

test('a file whose mtime is put back after a change is still noticed by its ctime', async () => {
  writeFileSync(path, 'one')
  utimesSync(path, 1_000, 1_000)
  during = (read) => {
    if (read > 1) return
    writeFileSync(path, 'two')
    utimesSync(path, 1_000, 1_000)
  }
  await run()
  expect(saves.map(String)).toEqual(['one', 'two'])
})

test('a file rewritten during each of three reads is kept as the third found it, and said so', async () => {
  writeFileSync(path, 'v0')
  during = (read) => writeFileSync(path, `v${read}`)
  expect(await run()).toMatchObject({ kind: 'saved', change: 'rewritten' })
  expect(saves.map(String)).toEqual(['v0', 'v1', 'v2'])
})

test('what is recorded is from before the read, so that the next run sees the change', async () => {
  writeFileSync(path, 'v0')
  during = (read) => writeFileSync(path, `version ${read}`)
  const outcome = await run()
  if (outcome.kind !== 'saved') throw new Error(outcome.kind)
  const { stat } = outcome
  expect(stat.size).toBe(BigInt('version 2'.length))
  root.close()
  const now = createDirectorySource(dir).open()
  const entry = now.look(Buffer.from('file')) as FileEntry
  expect(entry.stat.ctimeNs).not.toBe(stat.ctimeNs)
  now.close()
})

test.each(sizes)('a growing %s file is kept as it was at one moment', async (_, size) => {
  writeFileSync(path, Buffer.alloc(size, 'g'))
  during = () => appendFileSync(path, 'more')
  const outcome = await run()
  expect(outcome).toMatchObject({ kind: 'saved', change: 'grew' })
  expect(saves.length).toBeLessThanOrEqual(3)
  if (outcome.kind === 'saved') expect(outcome.saved.size).toBe(outcome.stat.size)
})

test('a file that grows and is changed at its beginning did not just grow', async () => {
  writeFileSync(path, 'head')
  during = (read) => writeFileSync(path, `${read}ead and ${'more'.repeat(read)}`)
  expect(await run()).toMatchObject({ change: 'rewritten' })
})

test('a file replaced by rename before it is opened is read as the new file', async () => {
  writeFileSync(path, 'old')
  opening = (open) => {
    if (open > 1) return
    writeFileSync(join(dir, 'other'), 'new')
    renameSync(join(dir, 'other'), path)
  }
  expect(await run()).not.toHaveProperty('change')
  expect(saves.map(String)).toEqual(['new'])
})

test('a name that is always another file when opened is given up', async () => {
  writeFileSync(path, 'v')
  opening = () => {
    writeFileSync(join(dir, 'other'), 'x')
    renameSync(join(dir, 'other'), path)
  }
  expect(await run()).toEqual({ kind: 'unreadable', code: 'EAGAIN' })
})

test('a file that vanishes before it is opened, or while it is read, is gone', async () => {
  writeFileSync(path, 'x')
  opening = () => unlinkSync(path)
  expect(await run()).toEqual({ kind: 'gone' })
  root.close()
  writeFileSync(path, 'x')
  opening = () => {}
  during = (read) => read === 1 && unlinkSync(path)
  expect(await run()).toEqual({ kind: 'gone' })
})

test('a file that becomes a symlink or a directory is told as what it became', async () => {
  writeFileSync(path, 'x')
  opening = () => {
    unlinkSync(path)
    symlinkSync('target', path)
  }
  expect(await run()).toMatchObject({ kind: 'replaced', entry: { kind: 'symlink' } })
  root.close()
  unlinkSync(path)
  writeFileSync(path, 'x')
  opening = () => {
    unlinkSync(path)
    mkdirSync(path)
  }
  expect(await run()).toMatchObject({ kind: 'replaced', entry: { kind: 'dir' } })
})

test('a disk that fails is told by its code', async () => {
  writeFileSync(path, 'x')
  opening = () => {
    throw Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'open' })
  }
  expect(await run()).toEqual({ kind: 'unreadable', code: 'EIO' })
})

test('what the repository throws passes through', async () => {
  writeFileSync(path, Buffer.alloc(3_000_000))
  during = () => {
    throw new Error('the repository is full')
  }
  await expect(run()).rejects.toThrow('the repository is full')
})

test('a file changed just now is read only when the next change must show', async () => {
  slept.length = 0
  writeFileSync(path, 'fresh')
  await run()
  expect(slept.every((ms) => ms > 0 && ms <= 20)).toBe(true)
  slept.length = 0
  await sleep(50)
  root.close()
  await run()
  expect(slept).toEqual([])
})

test('cancelling stops before the next piece', async () => {
  writeFileSync(path, Buffer.alloc(5_000_000))
  const stop = new AbortController()
  during = () => stop.abort(new Error('cancelled'))
  await expect(run(stop.signal)).rejects.toThrow('cancelled')
})
