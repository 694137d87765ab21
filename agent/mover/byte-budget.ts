/** So many bytes may be in memory at a time; whoever wants more waits in line. */
export class ByteBudget {
  readonly #most: number
  #taken = 0
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = []

  constructor(most: number) {
    this.#most = most
  }

  /** Resolves once there is room; give it back with `release`. What is larger than all there is goes alone. */
  async take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#taken += bytes
      return
    }
    await new Promise<void>((go) => this.#waiting.push({ bytes, go }))
  }

  release(bytes: number): void {
    this.#taken -= bytes
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); ) {
      this.#taken += next.bytes
      this.#waiting.shift()
      next.go()
      next = this.#waiting[0]
    }
  }

  #fits(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.#most
  }
}
