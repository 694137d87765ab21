// What must hold after every single step: whatever was accepted and not forgotten can be restored from what lies in the
// bucket, and no index file lists what is not there.

import { openBlob } from '../../agent/repository/blob.ts'
import { decodeIndex, type IndexedPack } from '../../agent/repository/index-file.ts'
import type { Repository } from '../../agent/repository/repository.ts'
import { decodeSnapshot } from '../../agent/repository/snapshot.ts'
import { decodeTree } from '../../agent/repository/tree.ts'
import { openUnpacked } from '../../agent/repository/unpacked.ts'
import type { PlaneState } from './model-plane.ts'

/** A snapshot with everything it needs: computed once, when it was accepted. */
type Needs = ReadonlySet<string>

export class Watch {
  readonly #repository: Repository
  readonly #state: PlaneState
  /** Decoded once: index files never change. Shared by all interleavings that begin alike. */
  readonly #indexes: Map<string, readonly IndexedPack[]>
  readonly #needs = new Map<string, Needs>()
  #seen = ''

  constructor(
    repository: Repository,
    state: PlaneState,
    indexes: Map<string, readonly IndexedPack[]> = new Map(),
  ) {
    this.#repository = repository
    this.#state = state
    this.#indexes = indexes
  }

  /** The first harm, or undefined. Cheap where no object came or went. */
  harm(): string | undefined {
    const { objects, snapshots } = this.#state
    const keys = [...objects.keys()].filter((key) => !key.startsWith('locks/'))
    const now = `${keys.length} ${keys.at(-1)} ${objects.size} ${snapshots.size}`
    const fingerprint = `${now} ${keys.filter((key) => !key.startsWith('data/')).join()}`
    if (fingerprint === this.#seen) return undefined
    this.#seen = fingerprint
    const places = new Map<
      string,
      { pack: string; offset: number; length: number; plain: number }
    >()
    for (const key of keys) {
      if (!key.startsWith('index/')) continue
      for (const pack of this.#decoded(key)) {
        const stored = objects.get(`data/${pack.id.slice(0, 2)}/${pack.id}`)
        if (stored === undefined) return `index file ${key} lists pack ${pack.id}, which is gone`
        for (const { type, id, offset, length, uncompressedLength: plain } of pack.blobs) {
          places.set(`${type} ${id}`, { pack: pack.id, offset, length, plain })
        }
      }
    }
    const load = (type: string, id: string): Buffer | undefined => {
      const place = places.get(`${type} ${id}`)
      if (place === undefined) return undefined
      const { pack, offset, length, plain } = place
      const bytes = objects.get(`data/${pack.slice(0, 2)}/${pack}`)!
      const sealed = bytes.subarray(offset, offset + length)
      return openBlob({
        key: this.#repository.masterKey,
        id,
        sealed,
        uncompressedLength: plain,
      })
    }
    for (const key of keys) {
      const id = key.startsWith('snapshots/') ? key.slice('snapshots/'.length) : ''
      if (!snapshots.has(id)) continue
      let needs = this.#needs.get(id)
      if (needs === undefined) {
        const found = this.#walk(id, objects.get(key)!, load)
        if (typeof found === 'string') return found
        needs = found
        this.#needs.set(id, needs)
      }
      for (const blob of needs) {
        if (!places.has(blob)) return `snapshot ${id} needs ${blob}, which no index file lists`
      }
    }
    return undefined
  }

  #decoded(key: string): readonly IndexedPack[] {
    let packs = this.#indexes.get(key)
    if (packs === undefined) {
      const id = key.slice('index/'.length)
      const bytes = this.#state.objects.get(key)!
      packs = decodeIndex(openUnpacked(this.#repository.masterKey, id, bytes))
      this.#indexes.set(key, packs)
    }
    return packs
  }

  #walk(
    id: string,
    sealed: Buffer,
    load: (type: string, id: string) => Buffer | undefined,
  ): Needs | string {
    const { tree } = decodeSnapshot(openUnpacked(this.#repository.masterKey, id, sealed))
    const needs = new Set<string>()
    const waiting = [tree]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      needs.add(`tree ${next}`)
      const bytes = load('tree', next)
      if (bytes === undefined) return `snapshot ${id} was accepted without its tree ${next}`
      for (const { content, subtree } of decodeTree(bytes)) {
        for (const chunk of content ?? []) needs.add(`data ${chunk}`)
        if (subtree !== undefined) waiting.push(subtree)
      }
    }
    return needs
  }
}
