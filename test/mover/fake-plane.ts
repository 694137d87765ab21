// A control plane for movers under test: one repository in a directory, reached by URLs that hold what they promise.
// Strict where the real one is strict: length and hash of every upload, one snapshot per job, claims that exist.
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { AskAnswer, AskName, AskRequest } from '../../agent/ipc/messages.ts'
import { createDirectories, createDirectoryStore } from '../../agent/storage/directory.ts'
import { StorageError } from '../../agent/storage/object-store.ts'
import type { Receipt } from '../../shared/backup/receipt.ts'
import type { Retirement } from '../../shared/backup/retirement.ts'
import type { ProposalRequest, ReconcileRequest } from '../../shared/protocol/calls.ts'
import type { Certificate } from '../rig/certificates.ts'

/** A refusal as the supervisor would pass it on. */
export class Refused extends Error {
  readonly code: string
  readonly retryable: boolean
  constructor(code: string, message: string = code, retryable = false) {
    super(message)
    this.code = code
    this.retryable = retryable
  }
}

interface Granted {
  readonly method: 'PUT' | 'GET'
  readonly key: string
  readonly id: string
  readonly bytes: number
}

export interface FakePlane {
  /** `restic -r` works on it. */
  readonly directory: string
  /** Of the store. */
  readonly port: number
  readonly epoch: { value: number }
  /** Accepted receipts in order. */
  readonly receipts: readonly Receipt[]
  /** Every question, in order. */
  readonly asked: readonly { name: AskName; body: unknown }[]
  /** Keys of requests that reached the store, in order. */
  readonly requests: readonly { method: string; key: string }[]
  readonly pages: readonly { page: number; last: boolean; bytes: string }[]
  /** Accepted retirements in order. */
  readonly retirements: readonly Retirement[]
  readonly reconciled: readonly ReconcileRequest['snapshots'][number][]
  /** Packs that were condemned, and whether a later prune confirmed it. */
  readonly condemned: ReadonlyMap<string, { readonly bytes: number; confirmed: boolean }>
  /** Whether so much may be taken away; yes until replaced. */
  decide: (proposal: ProposalRequest) => 'go' | 'wait'
  /** Deletes the packs that were condemned and confirmed, as if the floor had passed. */
  deleteConfirmed(): number
  readonly escrow: { recipient: string; sealed: string } | undefined
  /** Called before a question is answered; may refuse it or wait. */
  onAsk: (name: AskName, body: unknown) => void | Promise<void>
  /** Called after a question took effect and before its answer leaves: throw to lose the answer. */
  afterAsk: (name: AskName, body: unknown) => void | Promise<void>
  /** Called before the store acts; return true if it answered by itself. */
  onRequest: (request: IncomingMessage, response: ServerResponse, key: string) => boolean
  answer<N extends AskName>(name: N, body: AskRequest<N>): Promise<AskAnswer<N>>
  /** Whether a snapshot of this job was accepted. */
  hasSnapshotOf(job: string): boolean
  close(): Promise<void>
}

export interface FakePlaneOptions {
  /** Serve the store over TLS, under a name that its certificate bears. */
  readonly tls?: { readonly certificate: Certificate; readonly name: string }
}

export async function startFakePlane(
  directory: string,
  { tls }: FakePlaneOptions = {},
): Promise<FakePlane> {
  const options = { directory, temporaryName: () => randomBytes(8).toString('hex') }
  await createDirectories(options)
  const store = createDirectoryStore(options)
  const grants = new Map<string, Granted>()
  const receipts: Receipt[] = []
  const asked: { name: AskName; body: unknown }[] = []
  const requests: { method: string; key: string }[] = []
  const pages: { page: number; last: boolean; bytes: string }[] = []
  let escrow: { recipient: string; sealed: string } | undefined
  const epoch = { value: 0 }
  const retirements: Retirement[] = []
  const reconciled: ReconcileRequest['snapshots'][number][] = []
  const condemned = new Map<string, { bytes: number; confirmed: boolean }>()
  /** The packs each accepted snapshot refers to. */
  const refers = new Map<string, Set<string>>()

  const keyOf = (what: string, id: string) =>
    what === 'pack' ? `data/${id.slice(0, 2)}/${id}` : `${what}/${id}`
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
  const base64 = (text: string) => Buffer.from(text, 'base64')
  const sizeOf = (key: string) => statSync(join(directory, key), { throwIfNoEntry: false })?.size

  function listed(what: AskRequest<'listing'>['what']): { id: string; bytes: number }[] {
    if (what === 'condemned') return [...condemned].map(([id, { bytes }]) => ({ id, bytes }))
    if (what !== 'unknown-snapshots') return namesOf(what)
    const known = new Set([...refers.keys(), ...reconciled.map(({ id }) => id)])
    return namesOf('snapshots').filter(({ id }) => !known.has(id))
  }

  function namesOf(folder: string): { id: string; bytes: number }[] {
    const folders =
      folder === 'packs' ? readdirSync(join(directory, 'data')).map((f) => `data/${f}`) : [folder]
    return folders.flatMap((at) =>
      readdirSync(join(directory, at))
        .filter((name) => /^[0-9a-f]{64}$/.test(name))
        .map((id) => ({ id, bytes: statSync(join(directory, at, id)).size })),
    )
  }

  const take = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', 'http://store')
    const granted = grants.get(url.searchParams.get('X-Amz-Signature') ?? '')
    const key = url.pathname.slice('/bucket/'.length)
    requests.push({ method: request.method ?? '', key })
    request.on('error', () => {})
    if (plane.onRequest(request, response, key)) return
    if (granted === undefined || granted.method !== request.method || granted.key !== key) {
      response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>')
      return
    }
    if (granted.method === 'GET') serve(request, response, granted)
    else receive(request, response, granted)
  }
  const server =
    tls === undefined ? createServer(take) : createTlsServer({ ...tls.certificate }, take)

  function serve(request: IncomingMessage, response: ServerResponse, { key }: Granted): void {
    if (sizeOf(key) === undefined) {
      response.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>')
      return
    }
    const bytes = readFileSync(join(directory, key))
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    if (range === null) {
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
      return
    }
    const part = bytes.subarray(Number(range[1]), Number(range[2]) + 1)
    const end = Number(range[1]) + part.length - 1
    response
      .writeHead(206, {
        'content-length': part.length,
        'content-range': `bytes ${range[1]}-${end}/${bytes.length}`,
      })
      .end(part)
  }

  function receive(request: IncomingMessage, response: ServerResponse, granted: Granted): void {
    const parts: Buffer[] = []
    request.on('data', (part) => parts.push(part))
    request.on('end', async () => {
      const body = Buffer.concat(parts)
      const lies =
        body.length !== granted.bytes ||
        request.headers['x-amz-content-sha256'] !== granted.id ||
        sha256(body) !== granted.id ||
        request.headers['content-type'] !== undefined
      if (lies) {
        response.writeHead(400).end('<Error><Code>XAmzContentSHA256Mismatch</Code></Error>')
      } else if (sizeOf(granted.key) !== undefined) {
        response.writeHead(412).end('<Error><Code>PreconditionFailed</Code></Error>')
      } else {
        await store.put(granted.key, granted.id, body)
        response.writeHead(200).end()
      }
    })
  }

  async function putSmall(key: string, bytes: Buffer): Promise<void> {
    try {
      await store.put(key, sha256(bytes), bytes)
    } catch (error) {
      if (error instanceof StorageError && error.code === 'exists') throw new Refused('exists')
      throw error
    }
  }

  /** What the real plane looks at before it lets anything go. */
  function whyNot(retirement: Retirement): string | undefined {
    if (retirement.epoch !== epoch.value) return `epoch ${retirement.epoch}, now ${epoch.value}`
    const { packs, indexes } = retirement.added
    if (packs.some(({ id, bytes }) => sizeOf(keyOf('pack', id)) !== bytes))
      return 'a pack is missing'
    if (indexes.some(({ id, bytes }) => sizeOf(keyOf('index', id)) !== bytes)) {
      return 'an index file is missing'
    }
    const goes = new Set(retirement.condemned.map(({ id }) => id))
    for (const { id, heirs } of retirement.condemned) {
      const lost = heirs.find((heir) => goes.has(heir) || sizeOf(keyOf('pack', heir)) === undefined)
      if (lost !== undefined) return `heir ${lost} is not there to stay`
      for (const [snapshot, set] of refers) {
        const kept = sizeOf(`snapshots/${snapshot}`) !== undefined
        if (kept && set.has(id) && heirs.length === 0) {
          return `snapshot ${snapshot} refers to pack ${id}`
        }
      }
    }
    return undefined
  }

  const answers: { [N in AskName]: (body: AskRequest<N>) => Promise<AskAnswer<N>> } = {
    async grants({ wanted }) {
      return {
        grants: wanted.map((wish) => {
          const key = keyOf(wish.what, wish.id)
          const signature = randomBytes(8).toString('hex')
          const bytes = wish.method === 'PUT' ? wish.bytes : 0
          grants.set(signature, { method: wish.method, key, id: wish.id, bytes })
          const headers: Record<string, string> =
            wish.method === 'PUT'
              ? {
                  'content-length': String(bytes),
                  'x-amz-content-sha256': wish.id,
                  'if-none-match': '*',
                }
              : {}
          const url = `${origin()}/bucket/${key}?X-Amz-Signature=${signature}`
          return { method: wish.method, id: wish.id, url, headers, seconds: 900 }
        }),
      }
    },
    async stored({ objects }) {
      return {
        objects: objects.map(({ what, id, bytes }) => {
          const size = sizeOf(keyOf(what, id))
          const state = size === undefined ? 'absent' : size === bytes ? 'stored' : 'exists'
          return { id, state } as const
        }),
      }
    },
    async listing({ what, cursor }) {
      const all = listed(what).sort((a, b) => (a.id < b.id ? -1 : 1))
      const from = Number(cursor ?? 0)
      const objects = all.slice(from, from + 1_000)
      const next = from + 1_000 < all.length ? { next: String(from + 1_000) } : {}
      return { objects, epoch: epoch.value, ...next }
    },
    async read({ what, id }) {
      const key = what === 'config' ? 'config' : `${what}s/${id}`
      if (sizeOf(key) === undefined) throw new Refused('not-found')
      return { bytes: readFileSync(join(directory, key)).toString('base64') }
    },
    async lock({ id, bytes, replaces }) {
      if (sha256(base64(bytes)) !== id) throw new Refused('invalid')
      await putSmall(`locks/${id}`, base64(bytes))
      if (replaces !== undefined) await store.remove(`locks/${replaces}`)
      const others = namesOf('locks').filter((lock) => lock.id !== id)
      return {
        others: others.map((lock) => ({
          id: lock.id,
          bytes: readFileSync(join(directory, 'locks', lock.id)).toString('base64'),
        })),
      }
    },
    async unlock({ id }) {
      await store.remove(`locks/${id}`)
      return {}
    },
    async initialise(request) {
      for (const key of request.keys) await putSmall(`keys/${sha256(base64(key))}`, base64(key))
      await putSmall('config', base64(request.config))
      escrow = request.escrow
      return {}
    },
    async commit({ receipt, bytes }) {
      const before = receipts.find((one) => one.job === receipt.job)
      if (before !== undefined) {
        if (before.snapshot === receipt.snapshot) return { state: 'accepted' }
        return { state: 'refused', code: 'already-exists', message: 'the job has its snapshot' }
      }
      if (receipt.epoch < epoch.value) throw new Refused('epoch-stale', 'a prune ran', true)
      if (sha256(base64(bytes)) !== receipt.snapshot) throw new Refused('invalid')
      const missing = [
        ...receipt.packs.filter((pack) => sizeOf(keyOf('pack', pack.id)) !== pack.bytes),
        ...receipt.indexes.filter((index) => sizeOf(keyOf('index', index.id)) !== index.bytes),
      ]
      if (missing.length > 0) throw new Refused('claims-missing', `${missing.length} missing`)
      await putSmall(`snapshots/${receipt.snapshot}`, base64(bytes))
      receipts.push(receipt)
      const base = receipt.refers.base === null ? [] : (refers.get(receipt.refers.base) ?? [])
      refers.set(receipt.snapshot, new Set([...base, ...receipt.refers.packs]))
      return { state: 'accepted' }
    },
    async page({ page, last, bytes }) {
      pages.push({ page, last, bytes })
      return {}
    },
    async proposal(proposal) {
      return { decision: plane.decide(proposal) }
    },
    async retire({ retirement }) {
      const before = retirements.find(({ job }) => job === retirement.job)
      if (before !== undefined) return { state: 'accepted' }
      const refused = whyNot(retirement)
      if (refused !== undefined) return { state: 'refused', code: 'invalid', message: refused }
      for (const id of retirement.replacedIndexes) await store.remove(`index/${id}`)
      for (const { id, bytes, heirs } of retirement.condemned) {
        condemned.set(id, { bytes, confirmed: false })
        for (const set of refers.values())
          if (set.delete(id)) for (const heir of heirs) set.add(heir)
      }
      for (const id of retirement.confirmed) {
        const known = condemned.get(id)
        if (known !== undefined) known.confirmed = true
      }
      epoch.value++
      retirements.push(retirement)
      return { state: 'accepted' }
    },
    async reconcile({ snapshots }) {
      reconciled.push(...snapshots)
      return {}
    },
    async exchange() {
      return {}
    },
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const origin = () =>
    tls === undefined ? `http://127.0.0.1:${port}` : `https://${tls.name}:${port}`

  const plane: FakePlane = {
    directory,
    port,
    epoch,
    receipts,
    asked,
    requests,
    pages,
    retirements,
    reconciled,
    condemned,
    decide: () => 'go',
    deleteConfirmed() {
      const due = [...condemned].filter(([, { confirmed }]) => confirmed)
      for (const [id] of due) {
        rmSync(join(directory, keyOf('pack', id)), { force: true })
        condemned.delete(id)
      }
      return due.length
    },
    get escrow() {
      return escrow
    },
    onAsk: () => {},
    afterAsk: () => {},
    onRequest: () => false,
    async answer(name, body) {
      asked.push({ name, body })
      await plane.onAsk(name, body)
      const answer = await answers[name](body)
      await plane.afterAsk(name, body)
      return answer
    },
    hasSnapshotOf: (job) => receipts.some((receipt) => receipt.job === job),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return plane
}

/** Damages a stored object in place, as a store that rots would. */
export function damage(directory: string, key: string): void {
  const path = join(directory, key)
  const bytes = readFileSync(path)
  bytes[bytes.length >> 1]! ^= 0xff
  rmSync(path)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, bytes, { mode: 0o400 })
}
