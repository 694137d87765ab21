// Restores from stores that are slow, out of order, busy or damaged, and restores that end at any moment.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RestoreOptions } from '../../agent/mover/restore-contract.ts'
import { restoreTree } from '../../agent/mover/restore-tree.ts'
import { createReader } from '../../agent/repository/reader.ts'
import type { TreeNode } from '../../agent/repository/tree.ts'
import { createVolumeSource } from '../../agent/sources/volume.ts'
import { type ObjectStore, StorageError } from '../../agent/storage/object-store.ts'
import { withRetry } from '../../agent/storage/retry.ts'
import { makeAwkwardTree } from '../support/awkward-tree.ts'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import { type LocalRepository, makeLocalRepository } from '../support/local-repository.ts'
import { createSeeded, type Seeded } from '../support/seeded.ts'

const seed = process.env.HOLDFAST_SEED ?? String(Date.now())
const MIB = 1 << 20

describe(`restored content (HOLDFAST_SEED=${seed})`, () => {
  let base: string
  let source: string
  let repository: LocalRepository
  let tree: string
  let path: readonly Buffer[]
  let targets = 0

  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), 'holdfast-restore-'))
    source = join(base, 'source')
    mkdirSync(source)
    makeAwkwardTree(source, { bodyBytes: 40_000_000, seed: 'restored content' })
    repository = await makeLocalRepository(join(base, 'repository'))
    const volume = createVolumeSource('v', source)
    path = volume.path
    tree = (await repository.backup(volume)).tree
  })
  afterAll(() => rmSync(base, { recursive: true }))

  const makeTarget = () => {
    const target = join(base, `target-${++targets}`)
    mkdirSync(target)
    return target
  }
  const restore = (target: string, store: ObjectStore, more: Partial<RestoreOptions> = {}) => {
    const { index } = repository
    return restoreTree({
      tree,
      path,
      target,
      only: [],
      resume: false,
      reader: createReader({ store, repository: repository.repository, index }),
      index,
      idShift: 0,
      onProgress: () => {},
      signal: new AbortController().signal,
      ...more,
    })
  }
  const differences = (target: string) =>
    compareTrees(source, target, { ignoreSockets: true }).differences
  /** The store of the repository, each reading of a pack told to `onRead` first. */
  const watched = (
    onRead: (key: string, range: { offset: number; length: number }) => void | Promise<void>,
    after: () => void = () => {},
  ): ObjectStore => ({
    ...repository.store,
    async get(key, range) {
      if (range !== undefined) await onRead(key, range)
      const bytes = await repository.store.get(key, range)
      if (range !== undefined) after()
      return bytes
    },
  })
  const isData = (key: string) => {
    const id = key.slice(-64)
    for (const listing of repository.index.listings()) {
      if (listing.id === id) return listing.blobs[0]?.type === 'data'
    }
    throw new Error(`no index lists ${key}`)
  }

  it('is whole from a store that answers late, out of order and busy, each byte fetched once', async () => {
    const seeded = createSeeded(seed)
    const fetched = new Map<string, { offset: number; length: number }[]>()
    let refused = 0
    const moody = watched(async (key, range) => {
      await sleep(seeded.between(0, 12))
      if (seeded.oneIn(5)) {
        refused++
        throw new StorageError(seeded.pick(['busy', 'unreachable']), key)
      }
      if (isData(key)) fetched.set(key, [...(fetched.get(key) ?? []), range])
    })
    const patient = withRetry(moody, {
      sleep: () => sleep(seeded.between(0, 3)),
      random: () => 0.5,
      now: () => 0,
    })
    const target = makeTarget()
    const restored = await restore(target, patient)
    expect(restored.damaged).toBe(0)
    expect(differences(target).map(printDifference)).toEqual([])
    expect(refused).toBeGreaterThan(2)
    for (const ranges of fetched.values()) {
      ranges.sort((a, b) => a.offset - b.offset)
      for (const [i, range] of ranges.slice(1).entries()) {
        expect(range.offset).toBeGreaterThanOrEqual(ranges[i]!.offset + ranges[i]!.length)
      }
    }
  })

  it('passes through 12 MiB of memory, however fast the store is and however slow the disk', async () => {
    let held = 0
    let most = 0
    const counting = watched((key, { length }) => {
      if (!isData(key)) return
      held += length
      most = Math.max(most, held)
    })
    const reader = createReader({
      store: counting,
      repository: repository.repository,
      index: repository.index,
    })
    const restored = await restore(makeTarget(), counting, {
      reader: {
        loadTree: reader.loadTree,
        async readSpan(span, take) {
          const bytes = span.end - span.offset
          await reader.readSpan(span, async (place, plain) => {
            await sleep(1)
            await take(place, plain)
          })
          held -= bytes
        },
      },
    })
    expect(restored.extent.bytes).toBeGreaterThan(40_000_000)
    expect(most).toBeGreaterThan(4 * MIB)
    expect(most).toBeLessThanOrEqual(12 * MIB)
  })

  it('loses the files of a damaged or missing pack and no other, and names them', async () => {
    const seeded = createSeeded(`damage ${seed}`)
    const packs = [...repository.index.packs()].filter((id) => isData(`data/xx/${id}`))
    const hit = seeded.pick(packs)
    const harmed = new Set<string>()
    await eachFile(repository, tree, path, (name, node) => {
      const chunks = node.content ?? []
      const inPack = chunks.some((id) => repository.index.find('data', id)?.pack === hit)
      if (inPack) harmed.add(name)
    })
    const ways: readonly [string, (bytes: Buffer) => Buffer][] = [
      ['flipped', (bytes) => bytes.map((byte) => byte ^ 0x10) as Buffer],
      ['short', () => lost('truncated')],
      ['gone', () => lost('absent')],
    ]
    for (const [way, harm] of ways) {
      const target = makeTarget()
      const store: ObjectStore = {
        ...repository.store,
        async get(key, range) {
          const bytes = Buffer.from(await repository.store.get(key, range))
          return key.endsWith(hit) ? harm(bytes) : bytes
        },
      }
      const restored = await restore(target, store)
      const named = restored.remarks.names
        .filter(({ what }) => what === 'content-damaged')
        .map(({ path: at }) => at.toString('latin1'))
      expect(restored.damaged, way).toBeGreaterThan(0)
      expect(restored.damaged, way).toBeLessThanOrEqual(harmed.size)
      for (const name of named) expect(harmed, way).toContain(name)
      const wrong = differences(target).filter(({ aspect }) => aspect === 'content')
      const printable = new Set([...harmed].map(plain))
      for (const { path: at } of wrong) expect(printable, way).toContain(plain(at))
      expect(wrong.length, way).toBeGreaterThan(0)
    }
  })

  it('is finished by the next attempt wherever the last one ended, and nothing right is fetched again', async () => {
    const seeded = createSeeded(`ends ${seed}`)
    let cut = 0
    for (let round = 0; round < 2; round++) {
      const target = makeTarget()
      for (let left = seeded.between(2, 5), done = false; !done; left--) {
        const stop = new AbortController()
        const { after, options } = left > 0 ? endingByLot(seeded, stop) : toTheEnd
        const store = watched(() => {}, after)
        done = await restore(target, store, { ...options, resume: true }).then(
          () => true,
          (error) => {
            if (error !== stop.signal.reason) throw error
            cut++
            return false
          },
        )
      }
      expect(differences(target).map(printDifference)).toEqual([])
      // Content is compared, so a last attempt over a finished target fetches only files of several names.
      const again = await restore(target, repository.store, { resume: true })
      expect(again.bytesFetched).toBeLessThan(MIB)
      expect(differences(target).map(printDifference)).toEqual([])
      rmSync(target, { recursive: true })
    }
    expect(cut).toBeGreaterThan(0)
  }, 120_000)
})

function lost(code: 'truncated' | 'absent'): never {
  throw new StorageError(code, 'harmed')
}

/** A name as a comparison prints it, or as bytes, without what makes the two differ. */
function plain(name: string): string {
  return name.replace(/\\x[0-9a-f]{2}|[^\x20-\x5b\x5d-\x7e]/g, '?')
}

interface Ending {
  readonly options: Partial<RestoreOptions>
  /** Called after each reading of the store. */
  readonly after: () => void
}

const toTheEnd: Ending = { options: {}, after: () => {} }

/** Cuts an attempt short after a number of readings, or of files and chunks, drawn by lot. */
function endingByLot(seeded: Seeded, stop: AbortController): Ending {
  const end = () => stop.abort(new Error('the attempt ended here'))
  const byReads = seeded.oneIn(2)
  let left = byReads ? seeded.between(40, 90) : seeded.between(0, 300)
  const count = () => {
    if (left-- === 0) end()
  }
  return {
    after: byReads ? count : () => {},
    options: { signal: stop.signal, onProgress: byReads ? () => {} : count },
  }
}

async function eachFile(
  repository: LocalRepository,
  tree: string,
  path: readonly Buffer[],
  found: (name: string, node: TreeNode) => void,
): Promise<void> {
  const visit = async (id: string, above: string, left: readonly Buffer[]): Promise<void> => {
    for (const node of await repository.reader.loadTree(id)) {
      if (left[0] !== undefined && !node.name.equals(left[0])) continue
      const name = left.length > 0 ? '' : `${above}${node.name.toString('latin1')}`
      if (node.subtree !== undefined) {
        await visit(node.subtree, name === '' ? '' : `${name}/`, left.slice(1))
      } else if (node.type === 'file') found(name, node)
    }
  }
  await visit(tree, '', path)
}
