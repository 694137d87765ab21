// Backups and restores that break at one step of the disk, and what must be true when the next run is over.

// First of all: what is imported after it goes through it.
import './instrumented-disk.ts'

import {
  chmodSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { restoreTree } from '../../agent/mover/restore-tree.ts'
import { setTimes } from '../../agent/native/file-times.ts'
import { makeSpecialFile } from '../../agent/native/special-file.ts'
import { setXattr } from '../../agent/native/xattrs.ts'
import { createVolumeSource } from '../../agent/sources/volume.ts'
import { createRestic } from '../rig/restic.ts'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import { type LocalRepository, makeLocalRepository } from '../support/local-repository.ts'
import { createSeeded } from '../support/seeded.ts'
import { type DiskFault, onDisk, type Step } from './instrumented-disk.ts'

const password = 'every step'
/** Threads of a run that stands still would outlive it. */
const alone = { workers: 0 }

/** One thing that is broken at every one of its steps. */
export interface Story {
  /** All faults that can befall it. */
  readonly faults: readonly DiskFault[]
  readonly steps: readonly Step[]
  /** Break it so, let the next run go to its end, and judge. Throws where anything is not as it must be. */
  breakAt(fault: DiskFault, options?: { stock?: boolean }): Promise<void>
  close(): void
}

/** What can happen at each step: what only reads can fail, what changes something can also be the last that happened. */
function faultsOf(steps: readonly Step[]): DiskFault[] {
  return steps.flatMap(({ changes }, at): DiskFault[] => {
    if (!changes) return [{ at, what: 'EIO', when: 'before' }]
    const whats = ['kill', 'EIO', 'ENOSPC'] as const
    return whats.flatMap((what) => [
      { at, what, when: 'before' },
      { at, what, when: 'after' },
    ])
  })
}

/** A little of everything: several chunks, holes, links, attributes, special files, owners. */
function writeSource(root: string): void {
  const seeded = createSeeded('every step')
  mkdirSync(join(root, 'd', 'e'), { recursive: true })
  writeFileSync(join(root, 'a'), 'a small file')
  writeFileSync(join(root, 'd', 'large'), seeded.bytes(2_500_000))
  linkSync(join(root, 'd', 'large'), join(root, 'd', 'linked'))
  writeFileSync(join(root, 'd', 'e', 'empty'), '')
  writeFileSync(join(root, 'd', 'e', 'text'), 'line after line\n'.repeat(5_000))
  writeFileSync(join(root, 'sparse'), seeded.bytes(70_000))
  truncateSync(join(root, 'sparse'), 3_000_000)
  symlinkSync('d/large', join(root, 'link'))
  makeSpecialFile(join(root, 'fifo'), 'fifo', 0n)
  setXattr(join(root, 'a'), 'user.kept', Buffer.from('value'))
  lchownSync(join(root, 'd', 'e', 'text'), 1_000, 1_001)
  chmodSync(join(root, 'd', 'e', 'text'), 0o4750)
  chmodSync(join(root, 'd'), 0o2711)
  for (const name of ['a', 'sparse', 'd/large', 'd/e/text', 'd/e', 'd', '.']) {
    setTimes(join(root, name), 0n, 1_600_000_000_123_456_789n)
  }
}

const differences = (left: string, right: string) =>
  compareTrees(left, right, { ignoreSockets: true }).differences.map(printDifference)

/** The order of steps that go on side by side is not always the same, and a run may end earlier than the first did. */
function expectKilled(fault: DiskFault, ran: { ended: string; steps: readonly Step[] }): void {
  if (fault.what === 'kill' && ran.steps.length > fault.at) expect(ran.ended).toBe('killed')
}

const never = new AbortController().signal

function restoring(repository: LocalRepository, tree: string, path: readonly Buffer[]) {
  return (target: string) =>
    restoreTree({
      tree,
      path,
      target,
      only: [],
      resume: true,
      verify: true,
      reader: repository.reader,
      index: repository.index,
      idShift: 0,
      onProgress: () => {},
      signal: never,
    })
}

/** A restore, into a directory that is empty at first. */
export async function restoreStory(): Promise<Story> {
  const base = mkdtempSync(join(tmpdir(), 'holdfast-steps-'))
  const source = join(base, 'source')
  mkdirSync(source)
  writeSource(source)
  const repository = await makeLocalRepository(join(base, 'repository'), password, alone)
  const volume = createVolumeSource('v', source)
  const { tree } = await repository.backup(volume)
  const restore = restoring(repository, tree, volume.path)
  const target = join(base, 'target')
  const begin = () => {
    rmSync(target, { recursive: true, force: true })
    mkdirSync(target)
  }
  begin()
  const { steps, ...whole } = await onDisk(undefined, () => restore(target))
  expect(whole).toMatchObject({ ended: 'resolved', leftOpen: 0 })
  expect(differences(source, target)).toEqual([])
  return {
    steps,
    faults: faultsOf(steps),
    async breakAt(fault) {
      begin()
      const ran = await onDisk(fault, () => restore(target))
      expect(ran.leftOpen).toBe(0)
      expectKilled(fault, ran)
      // Who says nothing of a fault has not been harmed by it.
      if (ran.ended === 'resolved' && !ran.value.warned) {
        expect(differences(source, target)).toEqual([])
      }
      const next = await onDisk(undefined, () => restore(target))
      expect(next).toMatchObject({ ended: 'resolved', value: { warned: false, damaged: 0 } })
      expect(differences(source, target)).toEqual([])
    },
    close: () => rmSync(base, { recursive: true }),
  }
}

/** A backup into a repository that holds an older snapshot already. */
export async function backupStory(): Promise<Story> {
  const base = mkdtempSync(join(tmpdir(), 'holdfast-steps-'))
  const source = join(base, 'source')
  const place = join(base, 'repository')
  mkdirSync(source)
  writeFileSync(join(source, 'older'), createSeeded('older').bytes(100_000))
  const repository = await makeLocalRepository(place, password, alone)
  const volume = createVolumeSource('v', source)
  const older = await repository.backup(volume)
  writeSource(source)
  const filesIn = (folder: string) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
  const kept = new Set(filesIn(place))
  /** The repository as it was before the backup; its folders stay. */
  const begin = () => {
    for (const file of filesIn(place)) if (!kept.has(file)) rmSync(file)
  }
  /** As a new process: it knows what the directory says. */
  const backup = async () => {
    const opened = await repository.elsewhere(place)
    return opened.backup(volume)
  }
  const judge = async (tree: string, left: string) => {
    const opened = await repository.elsewhere(place)
    const target = join(base, 'target')
    mkdirSync(target)
    await restoring(opened, tree, volume.path)(target)
    expect(differences(left, target)).toEqual([])
    rmSync(target, { recursive: true })
  }
  begin()
  const { steps, ...whole } = await onDisk(undefined, backup)
  expect(whole).toMatchObject({ ended: 'resolved', leftOpen: 0 })
  return {
    steps,
    faults: faultsOf(steps),
    async breakAt(fault, { stock = false } = {}) {
      begin()
      const ran = await onDisk(fault, backup)
      expect(ran.leftOpen).toBe(0)
      expectKilled(fault, ran)
      if (ran.ended === 'resolved' && !ran.value.warned) await judge(ran.value.tree, source)
      const next = await onDisk(undefined, backup)
      expect(next).toMatchObject({ ended: 'resolved', value: { warned: false } })
      if (next.ended === 'resolved') await judge(next.value.tree, source)
      if (!stock) return
      const restic = createRestic({ repository: place, password })
      await restic.check({ readData: true })
      const trees = (await restic.snapshots()).map(({ tree }) => tree)
      expect(trees).toContain(older.tree)
      restic.close()
    },
    close: () => rmSync(base, { recursive: true }),
  }
}

/** Break a story at each of `faults` in turn; stock restic judges every `stockEvery`th, and the last. */
export async function breakAll(
  story: Story,
  faults: readonly DiskFault[],
  stockEvery: number,
): Promise<void> {
  for (const [i, fault] of faults.entries()) {
    try {
      const stock = (i + 1) % stockEvery === 0 || i === faults.length - 1
      await story.breakAt(fault, { stock })
    } catch (error) {
      const { at, what, when } = fault
      throw new Error(`${what} ${when} step ${at} (${story.steps[at]?.name})`, { cause: error })
    }
  }
}
