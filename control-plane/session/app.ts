// The agents' door over HTTPS: one page of routes. Identity and attempt are asked for in every one.
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import * as z from 'zod'
import { type Clock, SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { id } from '../../shared/ids.ts'
import {
  commitRequest,
  enrolRequest,
  eventsRequest,
  finishRequest,
  grantsRequest,
  initialiseRequest,
  leaseRequest,
  listingRequest,
  lockRequest,
  pageRequest,
  pollRequest,
  proposalRequest,
  readRequest,
  reconcileRequest,
  retireRequest,
  storedRequest,
  unlockRequest,
} from '../../shared/protocol/calls.ts'
import { hello, prove } from '../../shared/protocol/hello.ts'
import { checkShape } from '../../shared/protocol/wire.ts'
import type { AgentServices } from '../core/agent-services.ts'
import type { Asker } from '../core/attempts.ts'
import type { Defer, Log } from '../core/log.ts'
import { problem } from '../core/problem.ts'
import type { AgentIdentity } from '../core/sessions.ts'
import { rejectFrame } from './conversation.ts'
import { describeFault } from './describe-fault.ts'
import type { Lines } from './lines.ts'
import { createRateLimit } from './rate-limit.ts'

const KIB = 1_024
const MIB = 1_024 * KIB

export interface AgentDoorDeps {
  readonly agents: AgentServices
  readonly lines: Lines
  readonly clock: Clock
  readonly defer: Defer
  readonly log: Log
  /** The caller's address as far as it can be trusted (proxies that were named are looked through). */
  readonly remoteAddress: (context: Context) => string
}

/** A fleet of some hundreds behind one address greets at once after a restart of ours. */
const GREETINGS = { burst: 600, perSecond: 10 }
/** People enrol by hand, or a script enrols a rack. */
const ENROLMENTS = { burst: 30, perSecond: 0.5 }

type Handler = (context: Context) => Promise<Response>
/** Who asks, once the session token was looked at. */
type DoorEnv = { Variables: { agent: AgentIdentity } }

/** Routes below `/agent/v1`; the socket at `connect` belongs to the runtime. */
export function createAgentDoor(deps: AgentDoorDeps) {
  const { agents, lines, clock, defer, log, remoteAddress } = deps
  const greetings = createRateLimit(clock, GREETINGS)
  const enrolments = createRateLimit(clock, ENROLMENTS)
  const app = new Hono<DoorEnv>()

  app.onError((error, c) => {
    if (!(error instanceof HoldfastError)) {
      log.error('A call of an agent failed.', { path: c.req.routePath, ...describeFault(error) })
    }
    return refuse(c, error)
  })
  app.notFound((c) => refuse(c, new HoldfastError('not-found', 'there is no such call')))

  function refuse(c: Context, error: unknown): Response {
    const document = problem(error)
    return c.body(JSON.stringify(document), document.status as ContentfulStatusCode, {
      'content-type': 'application/problem+json',
    })
  }

  async function bodyOf<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
    let value: unknown
    try {
      value = await c.req.json()
    } catch (error) {
      if (error instanceof SyntaxError) throw new HoldfastError('invalid', 'the body is not JSON')
      throw error
    }
    return checkShape(schema, value, 'body')
  }

  const limit = (bytes: number) =>
    bodyLimit({
      maxSize: bytes,
      onError: (c) =>
        refuse(c, new HoldfastError('too-large', `the body is longer than ${bytes} bytes`)),
    })

  const bearerOf = (c: Context) => /^Bearer (\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
  /** Comes before the body is read: a stranger's megabytes never lie in our memory. */
  const identify: MiddlewareHandler<DoorEnv> = async (c, next) => {
    c.set('agent', await agents.sessions.authenticate(bearerOf(c)))
    await next()
  }

  function slowDown(taken: boolean): void {
    if (!taken) throw new HoldfastError('too-many', 'too many calls from this address; slow down')
  }

  // Before anybody is known.
  app.post('/enroll', limit(16 * KIB), async (c) => {
    slowDown(enrolments.take(remoteAddress(c)))
    return c.json(await agents.enrolment.enrol(await bodyOf(c, enrolRequest)))
  })
  const greet =
    <T>(schema: z.ZodType<T>, answer: (frame: T) => Promise<object>): Handler =>
    async (c) => {
      slowDown(greetings.take(remoteAddress(c)))
      const frame = await bodyOf(c, schema)
      try {
        return c.json(await answer(frame))
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error
        return c.json(rejectFrame(error)) // the frame a socket would carry
      }
    }
  app.post('/hello', limit(16 * KIB), greet(hello, agents.sessions.challenge))
  app.post(
    '/prove',
    limit(16 * KIB),
    greet(prove, async (proof) => (await agents.sessions.welcome(proof)).welcome),
  )

  // Known by the session token.
  app.post('/renew', identify, limit(KIB), async (c) =>
    c.json({ type: 'session', ...(await agents.sessions.renew(c.get('agent'))) }),
  )
  app.post('/poll', identify, limit(4 * KIB), async (c) => {
    const agent = c.get('agent')
    const { boot, waitSeconds } = await bodyOf(c, pollRequest)
    if (boot !== agent.boot)
      throw new HoldfastError('forbidden', 'boot: is not that of the session')
    const frames = lines.wait(agent.host, waitSeconds * SECOND, c.req.raw.signal)
    defer('send what waits for a host', () => agents.dispatch.host(agent.host))
    return c.json({ frames: await frames })
  })
  app.post('/events', identify, limit(32 * MIB), async (c) =>
    c.json(await agents.events.take(c.get('agent'), await bodyOf(c, eventsRequest))),
  )

  /** A call of the mover of one batch. What answers nothing answers `{}`. */
  function call<T>(
    path: string,
    bytes: number,
    schema: z.ZodType<T>,
    answer: (asker: Asker, request: T) => Promise<object | undefined>,
  ): void {
    app.post(`/batches/:batch/${path}`, identify, limit(bytes), async (c) => {
      const { host } = c.get('agent')
      const batch = checkShape(id, c.req.param('batch'), 'batch')
      return c.json((await answer({ host, batch }, await bodyOf(c, schema))) ?? {})
    })
  }
  const nothing = (done: Promise<void>) => done.then(() => undefined)

  call('lease', 512 * KIB, leaseRequest, (asker, { jobs }) => agents.leases.renew(asker, jobs))
  call('grants', 128 * KIB, grantsRequest, agents.grants.grant)
  call('stored', 128 * KIB, storedRequest, agents.storeView.stored)
  call('listing', 16 * KIB, listingRequest, agents.storeView.listing)
  call('read', 16 * KIB, readRequest, agents.storeView.read)
  call('lock', 128 * KIB, lockRequest, agents.locks.lock)
  call('unlock', 16 * KIB, unlockRequest, (asker, request) =>
    nothing(agents.locks.unlock(asker, request)),
  )
  call('initialise', 512 * KIB, initialiseRequest, (asker, request) =>
    nothing(agents.initialise.initialise(asker, request)),
  )
  call('commit', 64 * MIB, commitRequest, agents.commits.commit)
  call('proposal', 16 * KIB, proposalRequest, agents.proposals.propose)
  call('retire', 128 * MIB, retireRequest, agents.retire.retire)
  call('reconcile', 16 * MIB, reconcileRequest, (asker, request) =>
    nothing(agents.reconcile.enter(asker, request)),
  )
  call('page', 2 * MIB, pageRequest, (asker, request) =>
    nothing(agents.finish.page(asker, request)),
  )
  call('finish', 512 * KIB, finishRequest, async (asker, request) => {
    await agents.finish.finish(asker, request)
    defer('start what waits for a host', () => agents.dispatch.host(asker.host))
    return undefined
  })
  /** How far something of an attempt is that is compared with the store. */
  const progress = (
    path: string,
    state: (asker: Asker, job: string, attempt: number) => Promise<object>,
  ) => {
    app.get(`/batches/:batch/${path}/:job`, identify, async (c) => {
      const { host } = c.get('agent')
      const batch = checkShape(id, c.req.param('batch'), 'batch')
      const job = checkShape(id, c.req.param('job'), 'job')
      const attempt = checkShape(z.coerce.number().int().min(1), c.req.query('attempt'), 'attempt')
      return c.json({ ...(await state({ host, batch }, job, attempt)) })
    })
  }
  progress('commits', agents.commits.state)
  progress('retirements', agents.retire.state)

  return app
}
