import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { TreeNode } from '../repository/tree.ts'
import { noAccounts, readAccounts } from './accounts.ts'
import { NamedCounts } from './named-counts.ts'
import { RestoredLinks } from './restored-links.ts'
import { selectionOf, selectPaths } from './selection.ts'
import { Slots } from './slots.ts'
import { writtenRuns } from './zero-runs.ts'

test('accounts: the first line of an id wins, odd lines are passed over', () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-accounts-'))
  writeFileSync(
    join(dir, 'passwd'),
    'root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n\n# a:x:7:7\nbad\nweb:x:33:33::/:/x\nneg:x:-1:1::/:/x\n',
  )
  writeFileSync(join(dir, 'group'), 'root:x:0:\nstaff:x:50:a,b\n')
  const accounts = readAccounts(join(dir, 'passwd'), join(dir, 'group'))
  expect([0, 33, 7, 1].map(accounts.user)).toEqual(['root', 'web', undefined, undefined])
  expect([0, 50, 33].map(accounts.group)).toEqual(['root', 'staff', undefined])
  expect(readAccounts(join(dir, 'none'), join(dir, 'none')).user(0)).toBeUndefined()
  expect(noAccounts.user(0)).toBeUndefined()
  rmSync(dir, { recursive: true })
})

test('named counts: all are counted, fifty are named, urgent ones first', () => {
  const counts = new NamedCounts<'bad' | 'odd'>((what) => what === 'bad')
  for (let i = 0; i < 60; i++) counts.add('odd', Buffer.from(`odd-${i}`))
  for (let i = 0; i < 3; i++) counts.add('bad', Buffer.from(`bad-${i}`), 'EIO')
  expect([counts.count('odd'), counts.count('bad'), counts.total]).toEqual([60, 3, 63])
  expect(counts.names).toHaveLength(50)
  expect(counts.names[0]).toEqual({ what: 'bad', path: Buffer.from('bad-0'), detail: 'EIO' })
  expect(counts.names[3]?.path.toString()).toBe('odd-0')
})

test('slots: no more than so many at a time, in the order they came', async () => {
  const slots = new Slots(2)
  const order: number[] = []
  let busy = 0
  let most = 0
  await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      await slots.take()
      most = Math.max(most, ++busy)
      await new Promise((resolve) => setImmediate(resolve))
      order.push(i)
      busy--
      slots.release()
    }),
  )
  expect(most).toBe(2)
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

test('selection: a path means itself, all below, and the way to it', () => {
  const root = selectPaths([Buffer.from('/a/b/'), Buffer.from('c')])
  const a = selectionOf(root, Buffer.from('a'))!
  expect([root.whole, a.whole]).toEqual([false, false])
  expect(selectionOf(a, Buffer.from('b'))?.whole).toBe(true)
  expect(selectionOf(a, Buffer.from('x'))).toBeUndefined()
  expect(selectionOf(root, Buffer.from('b'))).toBeUndefined()
  expect(selectionOf(selectionOf(root, Buffer.from('c'))!, Buffer.from('any'))?.whole).toBe(true)
  expect(selectPaths([]).whole).toBe(true)
  expect(selectPaths([Buffer.from('/')]).whole).toBe(true)
})

test.each(['..', 'a/../b', './a', 'a\0b'])('selection: %j is refused', (path) => {
  expect(() => selectPaths([Buffer.from(path)])).toThrow(
    expect.objectContaining({ code: 'invalid' }),
  )
})

test('zero runs: what is written over zeros gives the same bytes, long aligned holes stay unwritten', () => {
  const piece = fc.record({ length: fc.integer({ min: 1, max: 200_000 }), zero: fc.boolean() })
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 6 }),
      fc.integer({ min: 0, max: 20_000 }),
      (pieces, offset) => {
        const bytes = Buffer.concat(
          pieces.map(({ length, zero }) => Buffer.alloc(length, zero ? 0 : 7)),
        )
        const rebuilt = Buffer.alloc(bytes.length)
        let end = 0
        for (const run of writtenRuns(bytes, offset)) {
          expect(run.start).toBeGreaterThanOrEqual(end)
          expect(run.end).toBeGreaterThan(run.start)
          bytes.copy(rebuilt, run.start, run.start, run.end)
          end = run.end
        }
        expect(rebuilt.equals(bytes)).toBe(true)
      },
    ),
    { numRuns: 300 },
  )
  expect(writtenRuns(Buffer.alloc(1 << 20), 0)).toEqual([])
  expect(writtenRuns(Buffer.alloc(8_192), 0)).toEqual([{ start: 0, end: 8_192 }])
  const island = Buffer.alloc(300_000)
  island[150_000] = 1
  expect(writtenRuns(island, 0)).toEqual([
    { start: 147_456, end: 151_552 },
    { start: 299_008, end: 300_000 },
  ])
})

function linked(content: string[], more: Partial<TreeNode> = {}): TreeNode {
  const times = { mtime: 0n, atime: 0n, ctime: 0n }
  const name = Buffer.from('f')
  return {
    name,
    type: 'file',
    mode: 0o644,
    ...times,
    uid: 0,
    gid: 0,
    inode: 5n,
    deviceId: 1n,
    links: 2n,
    content,
    ...more,
  }
}

test('restored links: the second name finds the first, unless it is other content or another inode', () => {
  const links = new RestoredLinks()
  links.remember(linked(['a']), Buffer.from('first'))
  expect(links.firstOf(linked(['b']))).toBeUndefined()
  expect(links.firstOf(linked(['a'], { inode: 6n }))).toBeUndefined()
  expect(links.firstOf(linked(['a'], { deviceId: 2n }))).toBeUndefined()
  expect(links.firstOf(linked(['a'], { links: 1n }))).toBeUndefined()
  expect(links.firstOf(linked(['a']))?.toString()).toBe('first')
})
