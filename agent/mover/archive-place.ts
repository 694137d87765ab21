import type { SourceDirectory } from '../sources/source.ts'
import type { Gap } from './tree-parts.ts'

const slash = Buffer.from('/')

/** Where an entry stands. */
export class Place {
  readonly directory: SourceDirectory
  readonly gap: Gap
  readonly #above: Buffer
  readonly #name: Buffer

  constructor(directory: SourceDirectory, above: Buffer, name: Buffer, gap: Gap) {
    this.directory = directory
    this.#above = above
    this.#name = name
    this.gap = gap
  }

  /** Relative to the source's root; few entries are ever asked for it. */
  get path(): Buffer {
    if (this.#above.length === 0) return this.#name
    return Buffer.concat([this.#above, slash, this.#name])
  }
}
