// The first call of a host's life: a one-time token against an id.
import type * as z from 'zod'
import { utf8 } from '../../shared/bytes.ts'
import type { Clock } from '../../shared/clock.ts'
import { SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import {
  type EnrolRequest,
  enrolAnswer,
  enrolRequest,
  enrolText,
} from '../../shared/protocol/calls.ts'
import { checkShape } from '../../shared/protocol/wire.ts'
import type { PlaneHttp } from './http-client.ts'
import type { Identity } from './identity.ts'

/** Tries while the control plane cannot be reached; the same request again changes nothing. */
const PAUSES = [SECOND, 3 * SECOND]

/** What becomes of a token: rejects with the control plane's own error, or `plane-unavailable`. */
export async function enrol(deps: {
  http: PlaneHttp
  identity: Identity
  clock: Clock
  host: Omit<EnrolRequest, 'publicKey' | 'signature'>
}): Promise<z.infer<typeof enrolAnswer>> {
  const { http, identity, clock, host } = deps
  const { publicKey } = identity
  const { name, machine } = host
  const signature = identity.sign(utf8(enrolText({ name, machine, publicKey })))
  const body = checkShape(enrolRequest, { ...host, publicKey, signature }, 'enrolment')
  for (const pause of [...PAUSES, undefined]) {
    try {
      const answer = await http({ method: 'POST', path: '/agent/v1/enroll', body })
      return checkShape(enrolAnswer, answer, 'answer')
    } catch (error) {
      const again = error instanceof HoldfastError && error.code === 'plane-unavailable'
      if (!again || pause === undefined) throw error
      await clock.sleep(pause)
    }
  }
  throw new HoldfastError('internal', 'unreachable')
}
