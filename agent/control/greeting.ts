// The first words of a connection, the same on a socket and over HTTPS: hello, challenge, prove, welcome.
import { HoldfastError, isErrorCode } from '../../shared/errors.ts'
import {
  type Challenge,
  connectBytes,
  type Hello,
  type Prove,
  type Reject,
} from '../../shared/protocol/hello.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol/version.ts'
import type { Identity } from './identity.ts'

/** Who we are in a conversation. */
export interface Self {
  readonly host: string
  /** Made anew at each start of the agent. */
  readonly boot: string
  readonly machine: string
  readonly version: string
  /** Scheme, host and port of the control plane, as the agent was told at enrolment. */
  readonly origin: string
  readonly identity: Identity
}

export function helloOf(self: Self): Hello {
  const { host, boot, machine, version } = self
  return { type: 'hello', protocol: PROTOCOL_VERSION, host, boot, machine, version }
}

/** The proof: a signature over the plane's origin as we know it, its nonce and its time. */
export function proveOf(self: Self, challenge: Challenge): Prove {
  const { origin, host, boot, identity } = self
  const { nonce, time } = challenge
  const signature = identity.sign(connectBytes({ origin, host, nonce, time }))
  return { type: 'prove', host, boot, nonce, signature }
}

/** The control plane said no. */
export class RejectedError extends HoldfastError {
  readonly retryAfterSeconds: number | undefined
  constructor(reject: Reject) {
    super(isErrorCode(reject.code) ? reject.code : 'forbidden', reject.message)
    this.name = 'RejectedError'
    this.retryAfterSeconds = reject.retryAfterSeconds
  }
}
