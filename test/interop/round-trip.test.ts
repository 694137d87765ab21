// The whole way of files: host → archive → repository → restore → host, by us and by stock restic in turn.

import { spawn } from 'node:child_process'
import {
  chmodSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RestoreOptions } from '../../agent/mover/restore-contract.ts'
import { restoreTree } from '../../agent/mover/restore-tree.ts'
import { setTimes } from '../../agent/native/file-times.ts'
import { makeSpecialFile } from '../../agent/native/special-file.ts'
import { setXattr } from '../../agent/native/xattrs.ts'
import { createDirectorySource } from '../../agent/sources/directory.ts'
import { createVolumeSource } from '../../agent/sources/volume.ts'
import { createRestic, type Restic, resticVersion } from '../rig/restic.ts'
import { makeAwkwardTree } from '../support/awkward-tree.ts'
import { type CompareOptions, compareTrees, printDifference } from '../support/compare-trees.ts'
import { type LocalRepository, makeLocalRepository } from '../support/local-repository.ts'
import { createSeeded } from '../support/seeded.ts'
import { changeBody } from '../support/tree-body.ts'

let base: string
let source: string
let target: string
let repository: LocalRepository
let restic: Restic
beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-round-trip-'))
  source = join(base, 'source')
  target = join(base, 'target')
  mkdirSync(source)
  mkdirSync(target)
  repository = await makeLocalRepository(join(base, 'repository'))
  restic = createRestic({ repository: repository.directory, password: repository.password })
})
afterEach(() => {
  restic.close()
  rmSync(base, { recursive: true })
})

function differences(right: string, options: CompareOptions = {}): string[] {
  const compared = compareTrees(source, right, { ignoreSockets: true, ...options })
  expect(compared.entries).toBeGreaterThan(1)
  return compared.differences.map(printDifference)
}

function restore(tree: string, path: readonly Buffer[], more: Partial<RestoreOptions> = {}) {
  const { reader, index } = repository
  return restoreTree({
    tree,
    path,
    target,
    only: [],
    resume: false,
    reader,
    index,
    idShift: 0,
    onProgress: () => {},
    signal: new AbortController().signal,
    ...more,
  })
}

/** What stock restic cannot restore: holes unless asked to, and before 0.16 symlink targets that are not UTF-8. */
async function beyondRestic(line: string): Promise<boolean> {
  if (line.includes(': allocation-grew: ')) return true
  const [major = 0, minor = 0] = (await resticVersion()).split('.').map(Number)
  return major === 0 && minor < 16 && line.startsWith('links/not-utf8: target: ')
}

describe('an awkward volume', () => {
  test('comes back from us and from stock restic as it was, first and changed', async () => {
    expect(makeAwkwardTree(source, { bodyBytes: 24 << 20, seed: 'round trip' })).toEqual([])
    const volume = createVolumeSource('awkward', source)
    const first = await repository.backup(volume)
    expect(first.warned).toBe(false)
    expect(first.remarks.names).toEqual([{ what: 'socket', path: Buffer.from('special/socket') }])

    changeBody(join(source, 'body'), 'second')
    const second = await repository.backup(volume, { parentTree: first.tree })
    expect(second.statistics.filesUnmodified).toBeGreaterThan(second.statistics.filesChanged)
    expect(second.statistics.dataAdded).toBeLessThan(first.statistics.dataAdded / 2)

    await restic.check({ readData: true })
    const restored = await restore(second.tree, volume.path)
    expect(restored).toMatchObject({ warned: false })
    expect(differences(target)).toEqual([])

    await restic.restore(second.snapshot, join(base, 'by-restic'), '--verify')
    const left = differences(join(base, 'by-restic', 'volumes', 'awkward'))
    for (const line of left) expect([line, await beyondRestic(line)]).toEqual([line, true])
  })

  test('that was backed up by stock restic is restored by us, and continued by us', async () => {
    makeAwkwardTree(source, { bodyBytes: 4 << 20, seed: 'from restic' })
    const snapshot = await restic.backup([source])
    await repository.refresh()
    const [listed] = (await restic.snapshots(snapshot)) ?? []
    const directory = createDirectorySource(source)
    await restore(listed!.tree, directory.path)
    const theirs = differences(target)
    for (const line of theirs) expect([line, await beyondRestic(line)]).toEqual([line, true])

    const ours = await repository.backup(directory, { parentTree: listed!.tree })
    expect(ours.statistics).toMatchObject({ filesNew: 0, filesChanged: 0, dataBlobs: 0 })
    await restic.check({ readData: true })
  })

  test('of a user namespace is kept by the ids inside and restored to those of another', async () => {
    writeFileSync(join(source, 'f'), 'x')
    lchownSync(join(source, 'f'), 100_033, 100_034)
    lchownSync(source, 100_000, 100_000)
    const volume = createVolumeSource('shifted', source)
    const { tree } = await repository.backup(volume, { idShift: 100_000 })
    await restore(tree, volume.path, { idShift: 200_000 })
    expect(differences(target)).toEqual([
      '.: owner: 100000:100000 | 200000:200000',
      'f: owner: 100033:100034 | 200033:200034',
    ])
  })

  test('keeps links of symlinks and devices, and attributes of symlinks, which stock restic loses', async () => {
    symlinkSync('nowhere', join(source, 'l1'))
    linkSync(join(source, 'l1'), join(source, 'l2'))
    setXattr(join(source, 'l1'), 'trusted.of-link', Buffer.from('v'))
    makeSpecialFile(join(source, 'c1'), 'chardev', 259n)
    linkSync(join(source, 'c1'), join(source, 'c2'))
    const volume = createVolumeSource('links', source)
    const { tree } = await repository.backup(volume)
    await restore(tree, volume.path)
    expect(differences(target)).toEqual([])
  })
})

/** Any tree at all: names, kinds, metadata and content drawn from a seed. */
function makeRandomTree(root: string, seed: string): void {
  const seeded = createSeeded(seed)
  const files: string[] = []
  const fill = (directory: Buffer, depth: number) => {
    for (let i = seeded.between(0, 9); i > 0; i--) {
      const bytes = seeded.bytes(seeded.between(1, seeded.oneIn(9) ? 255 : 12))
      const name = Buffer.from(bytes.map((b) => (b === 0 || b === 0x2f ? 0x78 : b)))
      if (/^\.{1,2}$/.test(name.toString('latin1'))) continue
      const path = Buffer.concat([directory, Buffer.from('/'), name])
      try {
        make(path, depth)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
    }
  }
  const make = (path: Buffer, depth: number) => {
    const kind = seeded.pick([
      'file',
      'file',
      'file',
      'dir',
      'dir',
      'symlink',
      'fifo',
      'device',
      'link',
    ])
    if (kind === 'dir') {
      mkdirSync(path)
      if (depth < 4) fill(path, depth + 1)
    } else if (kind === 'symlink') {
      const target = seeded.bytes(seeded.between(1, 300))
      symlinkSync(Buffer.from(target.map((b) => b || 0x79)), path)
    } else if (kind === 'fifo') makeSpecialFile(path, 'fifo', 0n)
    else if (kind === 'device') makeSpecialFile(path, 'chardev', BigInt(seeded.between(0, 0xfffff)))
    else if (kind === 'link' && files.length > 0) {
      linkSync(Buffer.from(seeded.pick(files), 'latin1'), path)
      return
    } else {
      writeFileSync(path, content(seeded.pick([0, 1, 4_096, 70_000, 600_000, 2_000_000])))
      files.push(path.toString('latin1'))
    }
    lchownSync(path, seeded.between(0, 70_000), seeded.between(0, 4_294_967_294))
    if (kind !== 'symlink') chmodSync(path, seeded.between(0, 0o7777))
    if (seeded.oneIn(3)) setXattr(path, 'trusted.t', seeded.bytes(seeded.between(0, 1_000)))
    const seconds = BigInt(seeded.between(0, 4_000_000_000)) - 1_000_000_000n
    setTimes(path, 0n, seconds * 1_000_000_000n + BigInt(seeded.between(0, 999_999_999)))
  }
  const content = (most: number) => {
    const bytes = seeded.bytes(seeded.between(0, most))
    for (let n = seeded.between(0, 2); n > 0; n--) {
      const from = seeded.between(0, bytes.length)
      bytes.fill(0, from, Math.min(bytes.length, from + seeded.between(0, 700_000)))
    }
    return bytes
  }
  fill(Buffer.from(root), 0)
  setTimes(root, 0n, BigInt(seeded.between(0, 2_000_000_000)))
}

test('fifteen random trees come back as they were, and stock restic finds no fault', async () => {
  let entries = 0
  for (let i = 0; i < 15; i++) {
    rmSync(source, { recursive: true })
    rmSync(target, { recursive: true })
    mkdirSync(source)
    mkdirSync(target)
    makeRandomTree(source, `random ${i}`)
    const volume = createVolumeSource(`random-${i}`, source)
    const { tree, warned } = await repository.backup(volume)
    await restore(tree, volume.path)
    const compared = compareTrees(source, target, { ignore: ['allocation-shrank'] })
    const faults = compared.differences.map(printDifference)
    expect([i, warned, faults]).toEqual([i, false, []])
    entries += compared.entries
  }
  expect(entries).toBeGreaterThan(300)
  await restic.check({ readData: true })
})

/** Restores in a process of its own, so that it can be killed. */
const restoring = `
import { restoreTree } from ${JSON.stringify(new URL('../../agent/mover/restore-tree.ts', import.meta.url).href)}
import { openLocalRepository } from ${JSON.stringify(new URL('../support/local-repository.ts', import.meta.url).href)}
const [directory, password, tree, target] = process.argv.slice(1)
const { reader, index } = await openLocalRepository(directory, password)
console.log('ready')
await restoreTree({
  tree, target, reader, index,
  path: [Buffer.from('volumes'), Buffer.from('killed')],
  only: [], resume: true, idShift: 0,
  onProgress() {},
  signal: new AbortController().signal,
})
console.log('done')
`

/** Resolves to whether the restore finished before it was killed, `after` milliseconds from its start. */
function killedRestore(tree: string, after: number | undefined): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const words = ['--input-type=module', '--eval', restoring]
    const child = spawn(
      process.execPath,
      [...words, repository.directory, repository.password, tree, target],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    let done = false
    child.stdout.on('data', (data: Buffer) => {
      if (data.includes('ready') && after !== undefined)
        setTimeout(() => child.kill('SIGKILL'), after)
      if (data.includes('done')) done = true
    })
    child.on('error', reject)
    child.on('close', () => resolve(done))
  })
}

test('a restore killed at six moments is finished by the next attempt', async () => {
  makeAwkwardTree(source, { bodyBytes: 16 << 20, seed: 'killed' })
  const volume = createVolumeSource('killed', source)
  const { tree } = await repository.backup(volume)
  let killed = 0
  for (const after of [1, 20, 60, 120, 200, 300]) {
    if (!(await killedRestore(tree, after))) killed++
  }
  expect(killed).toBeGreaterThan(0)
  expect(await killedRestore(tree, undefined)).toBe(true)
  expect(differences(target)).toEqual([])
})
