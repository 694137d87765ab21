// Which blobs are gone: a bit per place, because the same blob may be whole in another pack.
import type { BlobType } from './blob.ts'
import type { ListedPacks } from './check-packs.ts'
import type { Id } from './id.ts'
import type { BlobIndex } from './index.ts'

export class LostBlobs {
  readonly #index: BlobIndex
  readonly #packs: ListedPacks
  readonly #places: Uint8Array
  #any = false

  constructor(index: BlobIndex, packs: ListedPacks) {
    this.#index = index
    this.#packs = packs
    this.#places = new Uint8Array((index.size >> 3) + 1)
  }

  /** Whether any place was found damaged. */
  get any(): boolean {
    return this.#any
  }

  /** Everything in a pack, or one blob of it. */
  addOf(pack: Id, blob?: { type: BlobType; id: Id; offset: number }): void {
    for (const { first, blobs } of this.#packs.listingsOf(pack)) {
      for (const [i, one] of blobs.entries()) {
        const same = one.id === blob?.id && one.type === blob.type && one.offset === blob.offset
        if (blob === undefined || same) this.#add(first + i)
      }
    }
  }

  /** A blob in all its places. */
  addEverywhere(type: BlobType, id: Id): void {
    for (const number of this.#index.numbersOf(type, id)) this.#add(number)
  }

  /** Whether no place of a blob is left, or there never was one. */
  has(type: BlobType, id: Id): boolean {
    if (!this.#any) return !this.#index.has(type, id)
    return this.#index
      .numbersOf(type, id)
      .every((number) => (this.#places[number >> 3]! & (1 << (number & 7))) !== 0)
  }

  #add(number: number): void {
    this.#any = true
    this.#places[number >> 3]! |= 1 << (number & 7)
  }
}
