// An agent that says exactly what a test wants, over real HTTP and a real WebSocket.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { issueToken } from '../../shared/access/token.ts'
import { type Receipt, receiptBytes } from '../../shared/backup/receipt.ts'
import { parseSource } from '../../shared/backup/source.ts'
import { DAY } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'
import { enrolText, type Grant } from '../../shared/protocol/calls.ts'
import type { AssignedJob, FromControl, Run } from '../../shared/protocol/from-control.ts'
import { connectBytes } from '../../shared/protocol/hello.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol/version.ts'
import { systemClock, systemRandom } from '../support/system-clock.ts'
import { type Door, ORIGIN, offerEnrolment } from './door.ts'

export const RECOVERY = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'
const RECIPIENT = 'age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg'

export const sha256 = (bytes: Uint8Array | string) =>
  createHash('sha256').update(bytes).digest('hex')
export const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
export const uuid = () => newId(systemClock, systemRandom)

export interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: what a far side answers is looked at by the test
  readonly body: any
}

export interface Key {
  readonly publicKey: string
  readonly privateKey: KeyObject
}

export function makeKey(): Key {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
  return { publicKey: raw.toString('hex'), privateKey }
}

export async function post(url: string, path: string, body: unknown, bearer?: string) {
  const answer = await fetch(`${url}/agent/v1/${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return { status: answer.status, body: await answer.json() } as Answer
}

export async function newEnrolmentToken(door: Door, expiresAt = systemClock.now() + 365 * DAY) {
  const issued = await issueToken('enroll', systemRandom)
  await offerEnrolment(door.database, { id: issued.id, hash: issued.hash, expiresAt })
  return issued
}

export function enrolBody(key: Key, token: string, name = 'web-1', machine = 'machine-1') {
  const text = enrolText({ name, machine, publicKey: key.publicKey })
  return {
    token,
    name,
    machine,
    publicKey: key.publicKey,
    signature: sign(null, Buffer.from(text), key.privateKey).toString('hex'),
    recovery: RECOVERY,
    recipient: RECIPIENT,
    version: '0.1.0',
  }
}

export class Agent {
  readonly key: Key
  readonly host: string
  readonly repository: string
  readonly name: string
  url: string
  boot = uuid()
  machine = 'machine-1'
  protocol = PROTOCOL_VERSION
  session = ''
  socket: WebSocket | undefined
  readonly frames: FromControl[] = []
  #wake: (() => void)[] = []

  constructor(key: Key, url: string, enrolled: { host: string; repository: string; name: string }) {
    this.key = key
    this.url = url
    this.host = enrolled.host
    this.repository = enrolled.repository
    this.name = enrolled.name
  }

  static async enrol(door: Door, name = 'web-1'): Promise<Agent> {
    const key = makeKey()
    const { token } = await newEnrolmentToken(door)
    const answer = await post(door.url, 'enroll', enrolBody(key, token, name))
    if (answer.status !== 200) throw new Error(JSON.stringify(answer))
    return new Agent(key, door.url, answer.body)
  }

  hello() {
    const { host, boot, machine, protocol } = this
    return { type: 'hello', protocol, host, boot, machine, version: '0.1.0' }
  }

  prove(challenge: { nonce: string; time: string }, origin = ORIGIN) {
    const { host, boot } = this
    const bytes = connectBytes({ origin, host, ...challenge })
    const signature = sign(null, bytes, this.key.privateKey).toString('hex')
    return { type: 'prove', host, boot, nonce: challenge.nonce, signature }
  }

  /** Dials, greets, and keeps every frame. Rejects with the reject frame. */
  async connect(): Promise<void> {
    const socket = new WebSocket(`${this.url.replace('http', 'ws')}/agent/v1/connect`)
    this.socket = socket
    this.frames.length = 0
    socket.on('message', (data) => {
      this.frames.push(JSON.parse(String(data)))
      const woken = this.#wake
      this.#wake = []
      for (const wake of woken) wake()
    })
    await once(socket, 'open')
    socket.send(JSON.stringify(this.hello()))
    const challenge = await this.frame('challenge')
    socket.send(JSON.stringify(this.prove(challenge)))
    const welcome = await this.frame('welcome')
    this.session = welcome.session
  }

  /** The next frame of that type, taken out; rejects with a reject frame or after `patience` ms. */
  async frame<T extends FromControl['type']>(
    type: T,
    patience = 5_000,
  ): Promise<Extract<FromControl, { type: T }>> {
    const ends = Date.now() + patience
    for (;;) {
      const at = this.frames.findIndex((frame) => frame.type === type)
      if (at >= 0) return this.frames.splice(at, 1)[0] as Extract<FromControl, { type: T }>
      const rejected = this.frames.find((frame) => frame.type === 'reject')
      if (rejected !== undefined) throw new Error(JSON.stringify(rejected))
      const left = ends - Date.now()
      if (left <= 0) throw new Error(`no ${type} frame in ${patience} ms`)
      let timer: NodeJS.Timeout | undefined
      await Promise.race([
        new Promise<void>((resolve) => this.#wake.push(resolve)),
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, left)
        }),
      ])
      clearTimeout(timer)
    }
  }

  /** A new session token over the line. */
  async renew(): Promise<void> {
    this.socket!.send('{"type":"renew"}')
    this.session = (await this.frame('session')).session
  }

  async hangUp(): Promise<void> {
    const { socket } = this
    this.socket = undefined
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return
    const closed = once(socket, 'close')
    socket.terminate()
    await closed
  }

  call(path: string, body: unknown): Promise<Answer> {
    return post(this.url, path, body, this.session)
  }

  /** A call of a mover for one job of a batch. */
  ask(run: Run, name: string, body: object, job = run.jobs[0]!): Promise<Answer> {
    return this.call(`batches/${run.batch}/${name}`, { ...attemptOf(job), ...body })
  }

  lease(run: Run, jobs: readonly AssignedJob[] = run.jobs): Promise<Answer> {
    return this.call(`batches/${run.batch}/lease`, { jobs: jobs.map(attemptOf) })
  }

  finish(run: Run, job: AssignedJob, outcome = 'succeeded', reason = 'completed') {
    return this.ask(run, 'finish', { outcome, reason }, job)
  }

  /** Makes the repository, as an init job is asked to. */
  async initialise(run: Run): Promise<void> {
    await this.lease(run)
    const made = await this.ask(run, 'initialise', initialBody(this.repository))
    if (made.status !== 200) throw new Error(JSON.stringify(made))
    const finished = await this.finish(run, run.jobs[0]!)
    if (finished.status !== 200) throw new Error(JSON.stringify(finished))
  }

  receipt(run: Run, job: AssignedJob, stored: StoredThings, more: Partial<Receipt> = {}): Receipt {
    const { parameters } = job
    if (parameters.kind !== 'backup') throw new Error('not a backup')
    return {
      v: 1,
      host: this.host,
      repository: this.repository,
      ...attemptOf(job),
      epoch: run.repository.epoch,
      snapshot: sha256(stored.snapshot),
      snapshotBytes: stored.snapshot.length,
      tree: sha256(`tree of ${job.id}`),
      source: parameters.source,
      time: parameters.time,
      parent: parameters.parent ?? null,
      packs: stored.packs.map((bytes) => ({
        id: sha256(bytes),
        bytes: bytes.length,
        type: 'data',
      })),
      indexes: stored.indexes.map((bytes) => ({ id: sha256(bytes), bytes: bytes.length })),
      refers: { base: null, packs: stored.packs.map((bytes) => sha256(bytes)) },
      counts: { files: 1, bytes: 100, milliseconds: 5 },
      ...more,
    }
  }

  commitBody(receipt: Receipt, snapshot: Uint8Array) {
    const signature = sign(null, receiptBytes(receipt), this.key.privateKey).toString('hex')
    return { receipt, signature, bytes: base64(snapshot) }
  }

  commit(run: Run, receipt: Receipt, snapshot: Uint8Array): Promise<Answer> {
    return this.call(`batches/${run.batch}/commit`, this.commitBody(receipt, snapshot))
  }

  /** Repeats the question until the answer is final. */
  async commitThrough(run: Run, receipt: Receipt, snapshot: Uint8Array): Promise<Answer> {
    for (let tried = 0; tried < 200; tried++) {
      const answer = await this.commit(run, receipt, snapshot)
      if (answer.body.state !== 'checking') return answer
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    throw new Error('the commit is checked for ever')
  }

  /** Uploads by grants and commits; resolves with the final answer. */
  async backup(
    run: Run,
    job: AssignedJob,
    upload: (grant: Grant, bytes: Uint8Array) => void,
    stored = thingsOf(job),
  ): Promise<{ answer: Answer; receipt: Receipt; stored: StoredThings }> {
    const wanted = wantedOf(stored)
    const granted = await this.ask(run, 'grants', { wanted, stored: [] }, job)
    if (granted.status !== 200) throw new Error(JSON.stringify(granted))
    const bytes = [...stored.packs, ...stored.indexes]
    for (const [at, grant] of granted.body.grants.entries()) upload(grant, bytes[at]!)
    const receipt = this.receipt(run, job, stored)
    const answer = await this.commitThrough(run, receipt, stored.snapshot)
    return { answer, receipt, stored }
  }
}

export interface StoredThings {
  readonly packs: readonly Uint8Array[]
  readonly indexes: readonly Uint8Array[]
  readonly snapshot: Uint8Array
}

/** Bytes that stand for what a mover would make: the control plane never looks inside. */
export function thingsOf(job: { id: string; attempt: number }, packs = 2): StoredThings {
  const made = (what: string, length: number) =>
    Buffer.concat([Buffer.from(`${what} ${job.id} ${job.attempt} `), Buffer.alloc(length, 7)])
  return {
    packs: Array.from({ length: packs }, (_, n) => made(`pack ${n}`, 200)),
    indexes: [made('index', 100)],
    snapshot: made('snapshot', 100),
  }
}

export function wantedOf(stored: StoredThings) {
  const md5 = '0'.repeat(32)
  const put = (what: 'pack' | 'index') => (bytes: Uint8Array) => ({
    method: 'PUT',
    what,
    id: sha256(bytes),
    bytes: bytes.length,
    md5,
    ...(what === 'pack' ? { type: 'data' } : {}),
  })
  return [...stored.packs.map(put('pack')), ...stored.indexes.map(put('index'))]
}

export function attemptOf({ id, attempt, fence }: AssignedJob) {
  return { job: id, attempt, fence }
}

export function keyFile(salt: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      created: '2026-01-02T03:04:05.678Z',
      username: 'root',
      hostname: 'web-1',
      kdf: 'scrypt',
      N: 32_768,
      r: 8,
      p: 1,
      salt: base64(Buffer.from(salt)),
      data: base64(Buffer.alloc(48, 1)),
    }),
  )
}

export function initialBody(seed: string) {
  return {
    config: base64(Buffer.concat([Buffer.from(seed), Buffer.alloc(64, 2)])),
    keys: [base64(keyFile(`${seed} own`)), base64(keyFile(`${seed} recovery`))],
    escrow: { recipient: RECOVERY, sealed: base64(Buffer.from(`age sealed ${seed}`)) },
  }
}

/** A waiting job, as the people's door would write it. */
export async function queueJob(
  door: Door,
  job: {
    host: string
    repository: string
    kind?: string
    source?: string
    parameters?: object
    policy?: string
  },
): Promise<string> {
  const id = uuid()
  const { kind = 'backup', source = 'volume:data' } = job
  const backup = {
    kind: 'backup',
    source: parseSource(source),
    time: '2026-01-01T00:00:00.000Z',
    tags: [`job:${id}`],
    volatile: [],
    readAll: false,
  }
  await door.database.write([
    {
      sql: `INSERT INTO jobs (id, kind, host, repository, source, policy, policy_name, state, parameters_json,
              requested_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, 'token:test', ?)`,
      args: [
        id,
        kind,
        job.host,
        job.repository,
        source,
        job.policy ?? null,
        job.policy ?? null,
        JSON.stringify(job.parameters ?? backup),
        Date.now(),
      ],
    },
  ])
  return id
}
