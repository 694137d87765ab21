// Secrets at rest. The key comes from the environment; the database alone opens nothing.

export interface SecretBox {
  /** AES-256-GCM under the current key; `place` (table/row/column) is authenticated with it. */
  seal(plaintext: string, place: string): Promise<string>
  /** Rejects with `internal` if the text was moved, altered, or sealed under a key we do not have. */
  open(sealed: string, place: string): Promise<string>
}
