/** Wakes whoever waits for it at that moment, again and again. */
export class Bell {
  #next = Promise.withResolvers<void>()

  /** Resolves when it is rung the next time. */
  wait(): Promise<void> {
    return this.#next.promise
  }

  ring(): void {
    const rung = this.#next
    this.#next = Promise.withResolvers()
    rung.resolve()
  }
}
