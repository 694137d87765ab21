import { describe, expect, test } from 'vitest'
import { seal } from './cipher.ts'
import { compress } from './compression.ts'
import { idOf, systemRandom } from './id.ts'
import { randomMasterKey } from './key-file.ts'
import {
  type Lock,
  lockConflicts,
  lockHostname,
  lockStale,
  openLock,
  sealLock,
} from './lock-file.ts'
import { decodeSnapshot, encodeSnapshot, type Snapshot } from './snapshot.ts'
import { fromMilliseconds, zeroTime } from './time.ts'
import { openUnpacked, sealUnpacked } from './unpacked.ts'

const key = randomMasterKey(systemRandom)
const tree = 'cd'.repeat(32)
const time = 1_700_000_000_123_456_789n

describe('snapshots', () => {
  const full: Snapshot = {
    time,
    parent: 'ab'.repeat(32),
    tree,
    paths: ['/volumes/p<g'],
    hostname: 'db1',
    username: 'root',
    uid: 1,
    gid: 2,
    excludes: ['*.tmp'],
    tags: ['job:1', 'policy:x'],
    original: 'ef'.repeat(32),
    programVersion: 'holdfast 0.1.0',
    summary: {
      backupStart: time,
      backupEnd: time + 1n,
      filesNew: 1n,
      filesChanged: 2n,
      filesUnmodified: 3n,
      dirsNew: 4n,
      dirsChanged: 5n,
      dirsUnmodified: 6n,
      dataBlobs: 7n,
      treeBlobs: 8n,
      dataAdded: 9n,
      dataAddedPacked: 10n,
      totalFilesProcessed: 11n,
      totalBytesProcessed: 12n,
    },
  }

  test("have restic's fields in restic's order", () => {
    expect(encodeSnapshot(full).toString()).toBe(
      `{"time":"2023-11-14T22:13:20.123456789Z","parent":"${full.parent}","tree":"${tree}","paths":["/volumes/p\\u003cg"],"hostname":"db1","username":"root","uid":1,"gid":2,"excludes":["*.tmp"],"tags":["job:1","policy:x"],"original":"${full.original}","program_version":"holdfast 0.1.0","summary":{"backup_start":"2023-11-14T22:13:20.123456789Z","backup_end":"2023-11-14T22:13:20.12345679Z","files_new":1,"files_changed":2,"files_unmodified":3,"dirs_new":4,"dirs_changed":5,"dirs_unmodified":6,"data_blobs":7,"tree_blobs":8,"data_added":9,"data_added_packed":10,"total_files_processed":11,"total_bytes_processed":12}}`,
    )
    expect(decodeSnapshot(encodeSnapshot(full))).toEqual(full)
  })

  test('leave out what is empty', () => {
    const lean: Snapshot = { time, tree, paths: ['/x'] }
    expect(encodeSnapshot({ ...lean, uid: 0, tags: [], hostname: '' }).toString()).toBe(
      `{"time":"2023-11-14T22:13:20.123456789Z","tree":"${tree}","paths":["/x"]}`,
    )
    expect(decodeSnapshot(encodeSnapshot(lean))).toEqual(lean)
  })

  test('of other writers may lack everything but the tree', () => {
    expect(decodeSnapshot(Buffer.from(`{"tree":"${tree}","news":1}`))).toEqual({
      time: zeroTime,
      tree,
      paths: [],
    })
    for (const bad of [
      '{}',
      '{"tree":null}',
      '{"tree":"x"}',
      '[]',
      '',
      `{"tree":"${tree}","paths":[1]}`,
    ]) {
      expect(() => decodeSnapshot(Buffer.from(bad))).toThrow(
        expect.objectContaining({ code: 'damaged' }),
      )
    }
  })
})

describe('unpacked files', () => {
  const json = Buffer.from('{"a":1}')

  test('open to what was sealed, and each seal has its own name', () => {
    const one = sealUnpacked(key, json, systemRandom)
    const two = sealUnpacked(key, json, systemRandom)
    expect(one.id).not.toBe(two.id)
    expect(one.id).toBe(idOf(one.bytes))
    expect(openUnpacked(key, one.id, one.bytes).equals(json)).toBe(true)
  })

  test('may be plain JSON, and nothing else than JSON or zstd', () => {
    const sealed = (plain: Buffer) => seal(key, plain, systemRandom)
    const openIt = (bytes: Buffer) => openUnpacked(key, idOf(bytes), bytes).toString()
    expect(openIt(sealed(json))).toBe('{"a":1}')
    expect(openIt(sealed(Buffer.from('[]')))).toBe('[]')
    for (const bad of [Buffer.of(3), Buffer.alloc(0), Buffer.from('x'), Buffer.of(2, 1)]) {
      expect(() => openIt(sealed(bad))).toThrow(expect.objectContaining({ code: 'damaged' }))
    }
    const bomb = Buffer.concat([Buffer.of(2), compress(Buffer.alloc(260 * 1024 * 1024), 1)])
    expect(() => openIt(sealed(bomb))).toThrow(expect.objectContaining({ code: 'too-large' }))
  })

  test('are refused under another name or key', () => {
    const { id, bytes } = sealUnpacked(key, json, systemRandom)
    expect(() => openUnpacked(key, 'ab'.repeat(32), bytes)).toThrow('other content')
    const other = randomMasterKey(systemRandom)
    expect(() => openUnpacked(other, id, bytes)).toThrow('MAC')
  })
})

describe('locks', () => {
  const now = Date.UTC(2024, 0, 1)
  const shared: Lock = {
    time: fromMilliseconds(now),
    exclusive: false,
    hostname: lockHostname('db1'),
    username: 'root',
    pid: 7,
  }
  const stored = (lock: Partial<Lock>) => sealLock(key, { ...shared, ...lock }, systemRandom)
  const conflicts = (exclusive: boolean, others: { id: string; bytes: Buffer }[]) =>
    lockConflicts({ key, exclusive, others, now }).map(({ id }) => id)

  test('come back as they were sealed', () => {
    for (const lock of [shared, { ...shared, uid: 5, gid: 6, exclusive: true }]) {
      const { id, bytes } = sealLock(key, lock, systemRandom)
      expect(openLock(key, id, bytes)).toEqual(lock)
    }
    expect(shared.hostname).toBe('holdfast@db1')
  })

  test('that are shared tolerate each other; an exclusive one tolerates none', () => {
    const other = stored({})
    const alone = stored({ exclusive: true })
    expect(conflicts(false, [other])).toEqual([])
    expect(conflicts(true, [other])).toEqual([other.id])
    expect(conflicts(false, [other, alone])).toEqual([alone.id])
  })

  test('that are stale or empty stop nobody; those that cannot be read stop everybody', () => {
    const old = stored({ exclusive: true, time: fromMilliseconds(now - lockStale - 1) })
    const fresh = stored({ exclusive: true, time: fromMilliseconds(now - lockStale) })
    const empty = { id: idOf(Buffer.alloc(0)), bytes: Buffer.alloc(0) }
    const rubbish = { id: idOf(Buffer.from('x')), bytes: Buffer.from('x') }
    expect(conflicts(true, [old, empty])).toEqual([])
    expect(conflicts(false, [fresh, rubbish])).toEqual([fresh.id, rubbish.id])
  })
})
