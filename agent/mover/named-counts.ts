/** Names a sealed report may hold. */
const MOST_NAMES = 50

/** A path, relative to the source's root, and what happened there. */
export interface Named<What extends string> {
  readonly what: What
  /** Raw bytes; empty for the root itself. */
  readonly path: Buffer
  /** The system's error code or the attribute in question. */
  readonly detail?: string
}

/**
 * Counts of what happened, by kind, and the first paths it happened to. Counts may travel in the clear;
 * paths only in a sealed report.
 */
export class NamedCounts<What extends string> {
  readonly #counts = new Map<What, number>()
  readonly #urgent: Named<What>[] = []
  readonly #others: Named<What>[] = []
  readonly #isUrgent: (what: What) => boolean

  /** Paths of an urgent kind are kept before all others. */
  constructor(isUrgent: (what: What) => boolean) {
    this.#isUrgent = isUrgent
  }

  add(what: What, path: Buffer, detail?: string): void {
    this.#counts.set(what, this.count(what) + 1)
    const names = this.#isUrgent(what) ? this.#urgent : this.#others
    if (names.length >= MOST_NAMES) return
    const kept = Buffer.from(path)
    names.push(detail === undefined ? { what, path: kept } : { what, path: kept, detail })
  }

  count(what: What): number {
    return this.#counts.get(what) ?? 0
  }

  /** All kinds together. */
  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
  }

  /** At most fifty paths, urgent kinds first. */
  get names(): Named<What>[] {
    return [...this.#urgent, ...this.#others].slice(0, MOST_NAMES)
  }
}
