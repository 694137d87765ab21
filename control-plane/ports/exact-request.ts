// HTTP requests sent exactly as written, for trying what a grant holder could try. `fetch` will not do:
// it adds headers, refuses others, and corrects lengths.

export interface ExactRequest {
  readonly method: string
  readonly url: string
  /** Sent in this order and spelling, beside `Host`; nothing else is added. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body?: Uint8Array
  /** Send the body in chunked encoding. */
  readonly chunked?: boolean
  /** Hang up after this many bytes of the body. */
  readonly cutAfter?: number
}

export interface ExactAnswer {
  /** 0 when the connection ended without an answer. */
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** At most 1 MiB of it. */
  readonly body: Uint8Array
}

/** Follows no redirect and retries nothing. Rejects only when no connection could be made. */
export type SendExactly = (request: ExactRequest) => Promise<ExactAnswer>
