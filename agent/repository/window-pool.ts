// The windows of a writer: few, made when they are needed, and used again.
import type { ChunkerTables } from './chunker.ts'
import { StreamWindow } from './stream-window.ts'

/** Large files being cut at a time: one keeps all threads busy, another is read while that one ends. */
const windowCount = 2

export class WindowPool {
  readonly #tables: ChunkerTables
  readonly #free: StreamWindow[] = []
  readonly #waiting: (() => void)[] = []
  #made = 0

  constructor(tables: ChunkerTables) {
    this.#tables = tables
  }

  /** Bytes held for windows, whether they were ever filled or not. */
  get held(): number {
    return this.#made * StreamWindow.bytes
  }

  /** Lend a window for as long as `work` takes; waits while all are lent. All chunks must have left it by then. */
  async with<T>(work: (window: StreamWindow) => Promise<T>): Promise<T> {
    const window = await this.#take()
    try {
      return await work(window)
    } finally {
      window.reset()
      this.#free.push(window)
      this.#waiting.shift()?.()
    }
  }

  async #take(): Promise<StreamWindow> {
    for (;;) {
      const window = this.#free.pop()
      if (window !== undefined) return window
      if (this.#made < windowCount) {
        this.#made++
        return new StreamWindow(this.#tables)
      }
      await new Promise<void>((go) => this.#waiting.push(go))
    }
  }
}
