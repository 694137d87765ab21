// The control plane said no, or could not be asked. Codes are those of `shared/errors.ts`, as the supervisor passes them on.
import type { AskName } from '../ipc/messages.ts'

/** An ask that was refused. `message` is the control plane's own sentence: it holds no names and no secrets. */
export class Refusal extends Error {
  readonly ask: AskName
  /** A code of `shared/errors.ts`, or one of a newer control plane. */
  readonly code: string
  /** True: nobody decided against it; the same ask may succeed later. */
  readonly retryable: boolean
  constructor(ask: AskName, code: string, message: string, retryable: boolean) {
    super(message)
    this.name = 'Refusal'
    this.ask = ask
    this.code = code
    this.retryable = retryable
  }
}
