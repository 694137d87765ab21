// The greeting of an agent: hello → challenge → prove → welcome; and the token it earns for its calls.
import { issueToken, tokenId, tokenMatches } from '../../shared/access/token.ts'
import { toHex } from '../../shared/bytes.ts'
import { type Duration, formatInstant, MINUTE, SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import {
  type Challenge,
  connectBytes,
  type Hello,
  type Prove,
  type Welcome,
} from '../../shared/protocol/hello.ts'
import {
  commonVersion,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
} from '../../shared/protocol/version.ts'
import type { AgentSession, AgentSessionsStore } from '../ports/store/agent-sessions.ts'
import type { Host, HostsStore } from '../ports/store/hosts.ts'
import { alertMessage } from './alert-message.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { verifySignature } from './verify-signature.ts'

/** A challenge must be answered within this time: a round trip and a signature. */
const CHALLENGE_LIFE: Duration = 60 * SECOND
/** A session token lapses by itself soon after its agent is gone. */
const SESSION_LIFE: Duration = 15 * MINUTE
/** A second machine redials all the time: one alarm per hour tells enough. */
const DUPLICATE_ALARM_EVERY: Duration = 60 * MINUTE

export interface SessionsDeps extends Basics {
  readonly sessions: AgentSessionsStore
  readonly hosts: HostsStore
  /** Scheme, host and port under which agents know this control plane. */
  readonly origin: string
}

/** Who speaks on an authenticated connection or call. */
export interface AgentIdentity {
  readonly host: string
  readonly boot: string
  readonly machine: string
}

export function createSessions(deps: SessionsDeps) {
  const { sessions, hosts, origin, clock, random } = deps
  const sessionSeconds = SESSION_LIFE / SECOND

  async function knownHost(id: string): Promise<Host> {
    const host = await hosts.find(id)
    if (host !== undefined) return host
    throw new HoldfastError('unauthenticated', `host ${id} is not enrolled here`, {
      hint: 'enrol it again: holdfast-agent enroll',
    })
  }

  /** Answers a greeting with what must be signed. Throws when the two sides cannot talk. */
  async function challenge(hello: Hello): Promise<Challenge> {
    if (commonVersion(hello.protocol) === undefined) {
      throw new HoldfastError(
        'version-unsupported',
        `the agent speaks protocol ${hello.protocol}, this control plane ${OLDEST_PROTOCOL_VERSION} to ${PROTOCOL_VERSION}: upgrade the agent`,
      )
    }
    await knownHost(hello.host)
    const now = clock.now()
    const nonce = toHex(random.bytes(32))
    const time = formatInstant(now)
    const { host, boot, machine } = hello
    await sessions.addChallenge(
      { nonce, host, boot, machine, time, hello, expiresAt: now + CHALLENGE_LIFE },
      now,
    )
    return { type: 'challenge', nonce, time }
  }

  /** Checks the proof and opens the session. A challenge is used up by the first proof, right or wrong. */
  async function welcome(proof: Prove): Promise<{ welcome: Welcome; agent: AgentIdentity }> {
    const asked = await sessions.takeChallenge(proof.nonce)
    const now = clock.now()
    if (
      asked === undefined ||
      asked.expiresAt <= now ||
      asked.host !== proof.host ||
      asked.boot !== proof.boot
    ) {
      throw new HoldfastError('unauthenticated', 'the challenge is unknown, used or over')
    }
    const host = await knownHost(proof.host)
    const { nonce, time } = asked
    const signed = connectBytes({ origin, host: host.id, nonce, time })
    if (!(await verifySignature(host.publicKey, proof.signature, signed))) {
      throw new HoldfastError('unauthenticated', 'the proof does not fit the key of this host', {
        hint: `the agent must know the control plane as ${origin}`,
      })
    }
    const { boot, machine, hello } = asked
    const protocol = commonVersion(hello.protocol) ?? PROTOCOL_VERSION
    const token = await issueToken('session', random)
    const session = sessionOf(token, { host: host.id, boot, machine })
    // The same boot of the same program on the same machine dials again: that is a line, not a change.
    const changed = host.boot !== boot || host.machine !== machine || host.version !== hello.version
    const opened = await sessions.open(
      session,
      { version: hello.version, protocol },
      changed
        ? {
            events: [
              newEvent(deps, {
                actor: `host:${host.id}`,
                action: 'host.connected',
                target: `host:${host.id}`,
                outcome: 'ok',
                host: host.id,
                details: {
                  boot,
                  version: hello.version,
                  protocol,
                  machineChanged: host.machine !== machine,
                },
              }),
            ],
          }
        : undefined,
    )
    if (!opened) throw await duplicate(host, machine)
    return {
      welcome: {
        type: 'welcome',
        protocol,
        session: token.token,
        sessionSeconds,
        time: formatInstant(now),
      },
      agent: { host: host.id, boot, machine },
    }
  }

  /** Two machines hold one key: a copied disk, a cloned machine, or a thief. */
  async function duplicate(host: Host, machine: string): Promise<HoldfastError> {
    const now = clock.now()
    const text = `Two machines use the key of host ${host.name}; the second one was turned away. If the machine was cloned, enrol the copy as a host of its own; otherwise treat the key as stolen.`
    await sessions.noteDuplicate(host.id, now, now - DUPLICATE_ALARM_EVERY, {
      events: [
        newEvent(deps, {
          actor: `host:${host.id}`,
          action: 'host.connected',
          target: `host:${host.id}`,
          outcome: 'refused',
          host: host.id,
          details: { code: 'duplicate-identity', machine },
        }),
      ],
      messages: [alertMessage(deps, 'duplicate-identity', { hostname: host.name, message: text })],
    })
    return new HoldfastError(
      'duplicate-identity',
      `another machine is connected as host ${host.name}: two machines share one key`,
      { hint: 'enrol one of them anew; a machine that was replaced may return after 15 minutes' },
    )
  }

  function sessionOf(token: { id: string; hash: string }, agent: AgentIdentity): AgentSession {
    const now = clock.now()
    const { host, boot, machine } = agent
    return {
      id: token.id,
      host,
      boot,
      machine,
      hash: token.hash,
      createdAt: now,
      expiresAt: now + SESSION_LIFE,
    }
  }

  return {
    challenge,
    welcome,

    /** A further token for an agent that is connected. Throws when the host was removed meanwhile. */
    async renew(agent: AgentIdentity): Promise<{ session: string; sessionSeconds: number }> {
      await knownHost(agent.host)
      const token = await issueToken('session', random)
      await sessions.renew(sessionOf(token, agent))
      return { session: token.token, sessionSeconds }
    },

    /** Who sends this bearer token. Throws `unauthenticated` or `token-expired`. */
    async authenticate(bearer: string | undefined): Promise<AgentIdentity> {
      const id = bearer === undefined ? undefined : tokenId('session', bearer)
      const session = id === undefined ? undefined : await sessions.find(id)
      if (session === undefined || !(await tokenMatches(bearer!, session.hash))) {
        throw new HoldfastError('unauthenticated', 'the session token is not valid')
      }
      if (session.expiresAt <= clock.now()) {
        throw new HoldfastError('token-expired', 'the session token has lapsed; greet again')
      }
      await knownHost(session.host)
      return { host: session.host, boot: session.boot, machine: session.machine }
    },
  }
}
export type Sessions = ReturnType<typeof createSessions>
