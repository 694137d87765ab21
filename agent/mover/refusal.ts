// The control plane said no, or could not be asked. Codes are those of `shared/errors.ts`, as the supervisor passes them on.

/** An ask that was refused. `message` is the control plane's own sentence: it holds no names and no secrets. */
export class Refusal extends Error {
  /** A code of `shared/errors.ts`, or one of a newer control plane. */
  readonly code: string
  /** True: nobody decided against it; the same ask may succeed later. */
  readonly retryable: boolean
  constructor(code: string, message: string, retryable: boolean) {
    super(message)
    this.name = 'Refusal'
    this.code = code
    this.retryable = retryable
  }
}
