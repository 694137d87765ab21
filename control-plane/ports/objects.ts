// One vault's bytes, as the control plane sees them. Keys are relative to the vault's prefix.

export interface SignedUrl {
  readonly url: string
  /** To be sent exactly as given. */
  readonly headers: Readonly<Record<string, string>>
}

export interface ListedObject {
  readonly key: string
  readonly bytes: number
  /** When the store says it was written, in ms; for leftovers, never for retention. */
  readonly modifiedAt: number
}

/**
 * Implementations: `adapters/s3` (any S3 server) and `node/disk-objects` (the embedded vault); one
 * conformance suite judges both. Nobody retries below this line but the SDK's own connection retries;
 * failures reject with HoldfastError `store-unavailable`, refusals with `forbidden`.
 */
export interface Objects {
  /**
   * The store was seen not to check SHA-256, so a PUT must pin its MD5 too. Elsewhere nobody computes one:
   * it costs a host a tenth of its speed.
   */
  readonly needsMd5: boolean
  /**
   * A URL that stores exactly these bytes under exactly this key, once, for `seconds`.
   * `bytes` below the legal minimum is refused with `invalid` before anything is signed.
   */
  signPut(wanted: {
    key: string
    bytes: number
    sha256: string
    /** Required where `needsMd5`; 32 lower-case hex digits. */
    md5?: string
    seconds: number
  }): Promise<SignedUrl>
  /** A URL that reads this key, whole or by range, for `seconds`. */
  signGet(wanted: { key: string; seconds: number }): Promise<SignedUrl>
  /** Size in bytes, or undefined if absent. */
  head(key: string): Promise<number | undefined>
  /** At most `limit` (≤ 1,000) objects under `prefix` in key order, after `cursor`. */
  list(
    prefix: string,
    options: { cursor?: string; limit: number },
  ): Promise<{ objects: ListedObject[]; next?: string }>
  /** The whole object, or undefined if absent. Rejects with `too-large` above `maxBytes`. */
  get(key: string, maxBytes: number): Promise<Uint8Array | undefined>
  /**
   * Write a small object. `stored` also when the same bytes were there before; `exists` when other bytes
   * are. When this resolves with `stored` the bytes are durable.
   */
  put(key: string, bytes: Uint8Array): Promise<'stored' | 'exists'>
  /** Remove one object; absent is fine. Refused for kinds that are never removed (`shared/vault/key.ts`). */
  remove(key: string): Promise<void>
  /** The store's own clock in ms, from its `Date` header. */
  time(): Promise<number>
}
