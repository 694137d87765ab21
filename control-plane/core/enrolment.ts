// A host joins: a token that works once, a key the host made, a name nobody has yet.
import { tokenId, tokenMatches } from '../../shared/access/token.ts'
import { utf8 } from '../../shared/bytes.ts'
import { formatInstant } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import { type EnrolRequest, enrolText } from '../../shared/protocol/calls.ts'
import type { AuditStore } from '../ports/store/audit.ts'
import type { EnrolmentsStore, EnrolmentToken } from '../ports/store/enrolments.ts'
import type { Host, HostsStore } from '../ports/store/hosts.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { verifySignature } from './verify-signature.ts'

export interface EnrolmentDeps extends Basics {
  readonly enrolments: EnrolmentsStore
  readonly hosts: HostsStore
  readonly audit: Pick<AuditStore, 'record'>
}

const NEW_TOKEN = 'make a new one with: holdfast enroll-token'

export function createEnrolment(deps: EnrolmentDeps) {
  const { enrolments, hosts, audit, clock, random } = deps

  /** The token's row. Throws before anything of the request is looked at if the token is no good. */
  async function readToken(request: EnrolRequest): Promise<EnrolmentToken> {
    const unknown = new HoldfastError('unauthenticated', 'the enrolment token is not valid', {
      hint: `check that it was copied whole, or ${NEW_TOKEN}`,
    })
    const id = tokenId('enroll', request.token)
    const token = id === undefined ? undefined : await enrolments.findToken(id)
    if (token === undefined || !(await tokenMatches(request.token, token.hash))) throw unknown
    return token
  }

  async function refuse(token: EnrolmentToken, request: EnrolRequest, error: HoldfastError) {
    await audit.record(
      newEvent(deps, {
        actor: 'system',
        action: 'host.enrolled',
        target: `host:${request.name}`,
        outcome: 'refused',
        details: { token: token.id, code: error.code },
      }),
    )
    return error
  }

  /** The host this very key enrolled with this token: its first answer got lost. */
  async function repeated(token: EnrolmentToken, request: EnrolRequest): Promise<Host | undefined> {
    if (token.host === null) return undefined
    const host = await hosts.find(token.host)
    const same = host?.publicKey === request.publicKey && host.name === request.name
    return same ? host : undefined
  }

  async function whyNot(token: EnrolmentToken, request: EnrolRequest) {
    if (token.usedAt !== null) {
      return new HoldfastError(
        'token-used',
        `this enrolment token was used at ${formatInstant(token.usedAt)}; it works once`,
        { hint: NEW_TOKEN },
      )
    }
    if (token.expiresAt <= clock.now()) {
      return new HoldfastError(
        'token-expired',
        `this enrolment token expired at ${formatInstant(token.expiresAt)}`,
        { hint: NEW_TOKEN },
      )
    }
    if ((await hosts.findByName(request.name)) !== undefined) {
      return new HoldfastError(
        'already-exists',
        `a host named "${request.name}" is in the fleet already`,
        { hint: 'give this host another name, or remove the other host from the fleet first' },
      )
    }
    if ((await hosts.findByKey(request.publicKey)) !== undefined) {
      return new HoldfastError(
        'already-exists',
        'this key belongs to a host of the fleet already',
        {
          hint: 'remove the state directory on this host so that it makes its own key',
        },
      )
    }
    return undefined
  }

  /** Enrols the host, or answers again to the same key. Throws a HoldfastError that names the remedy. */
  async function enrol(
    request: EnrolRequest,
  ): Promise<{ host: string; name: string; repository: string }> {
    const token = await readToken(request)
    if (!(await verifySignature(request.publicKey, request.signature, utf8(enrolText(request))))) {
      throw await refuse(
        token,
        request,
        new HoldfastError('unauthenticated', 'the signature was not made with the key it names'),
      )
    }
    const before = await repeated(token, request)
    if (before !== undefined) {
      return { host: before.id, name: before.name, repository: before.repository }
    }
    const refusal = await whyNot(token, request)
    if (refusal !== undefined) throw await refuse(token, request, refusal)
    const now = clock.now()
    const host = newId(clock, random)
    const repository = newId(clock, random)
    const enrolled = await enrolments.enrol(
      token.id,
      {
        id: host,
        name: request.name,
        machine: request.machine,
        publicKey: request.publicKey,
        recoveryRecipient: request.recovery ?? null,
        recipient: request.recipient,
        version: request.version,
        enrolledAt: now,
        repository,
        vault: token.vault,
      },
      {
        events: [
          newEvent(deps, {
            actor: `host:${host}`,
            action: 'host.enrolled',
            target: `host:${host}`,
            outcome: 'ok',
            host,
            details: {
              name: request.name,
              token: token.id,
              vault: token.vault,
              repository,
              publicKey: request.publicKey,
              recovery: request.recovery ?? null,
            },
          }),
        ],
      },
    )
    if (enrolled) return { host, name: request.name, repository }
    // Somebody was faster with the token, the name or the key: say which.
    const lost = await whyNot((await enrolments.findToken(token.id)) ?? token, request)
    throw await refuse(
      token,
      request,
      lost ?? new HoldfastError('conflict', 'the enrolment changed meanwhile; try again'),
    )
  }

  return { enrol }
}
export type Enrolment = ReturnType<typeof createEnrolment>
