// The control plane as the design has it, small enough to be read whole: one repository, its bucket, and the steps in
// which commits and retirements happen. Each step may be the last for a while, and anything may happen in between.
import type { AskAnswer, AskName, AskRequest } from '../../agent/ipc/messages.ts'
import { Refusal } from '../../agent/mover/refusal.ts'
import type { Receipt } from '../../shared/backup/receipt.ts'
import type { Retirement } from '../../shared/backup/retirement.ts'
import { HOUR, MINUTE } from '../../shared/clock.ts'

/** Rules that can be switched off, to see that the harm they keep away is found. */
export interface Rules {
  /** A commit states the epoch its index was listed in. */
  readonly epoch: boolean
  /** Nothing is committed while index files are removed, and nothing removed while a snapshot is written. */
  readonly guards: boolean
  /** A second prune must confirm before anything is deleted, and the floor must have passed. */
  readonly confirm: boolean
  /** A receipt that refers to a condemned pack spares it; one that refers to a deleted pack is refused. */
  readonly spare: boolean
}
export const allRules: Rules = { epoch: true, guards: true, confirm: true, spare: true }

/** Time between condemnation and deletion. */
const floor = HOUR
/** Locks of attempts that were given up go so long afterwards. */
const lockLife = 40 * MINUTE

export interface Job {
  readonly id: string
  attempt: number
  running: boolean
  readonly kind: 'backup' | 'prune' | 'restore'
  snapshot?: string
}

interface Claim {
  readonly receipt: Receipt
  readonly bytes: Buffer
  state: 'checking' | 'writing' | 'written'
  readonly answer: (answer: AskAnswer<'commit'> | Refusal) => void
}

interface Retiring {
  readonly retirement: Retirement
  state: 'checking' | 'removing'
  removed: number
  readonly answer: (answer: AskAnswer<'retire'>) => void
}

/** What survives from one interleaving's beginning to another's: see `fork`. */
export interface PlaneState {
  readonly objects: Map<string, Buffer>
  readonly receipts: Receipt[]
  readonly condemned: Map<string, { at: number; confirmed: boolean; deleting: boolean }>
  readonly snapshots: Set<string>
  epoch: number
}

export function emptyState(): PlaneState {
  return { objects: new Map(), receipts: [], condemned: new Map(), snapshots: new Set(), epoch: 0 }
}

export function fork(state: PlaneState): PlaneState {
  return {
    objects: new Map(state.objects),
    receipts: [...state.receipts],
    condemned: new Map([...state.condemned].map(([id, pack]) => [id, { ...pack }])),
    snapshots: new Set(state.snapshots),
    epoch: state.epoch,
  }
}

const packKey = (id: string) => `data/${id.slice(0, 2)}/${id}`

export class ModelPlane {
  readonly state: PlaneState
  readonly jobs = new Map<string, Job>()
  readonly #rules: Rules
  readonly #now: () => number
  readonly #claims: Claim[] = []
  readonly #retiring: Retiring[] = []
  /** Whose lock it is, and since when its attempt is given up. */
  readonly #locks = new Map<
    string,
    { job: string; attempt: number; deadSince: number | undefined }
  >()
  accepted = 0
  retired = 0
  deleted = 0
  refusals: Record<string, number> = {}

  constructor(state: PlaneState, now: () => number, rules: Rules = allRules) {
    this.state = state
    this.#now = now
    this.#rules = rules
  }

  #refuse(name: AskName, code: string, retryable = false): Refusal {
    this.refusals[`${name} ${code}`] = (this.refusals[`${name} ${code}`] ?? 0) + 1
    return new Refusal(name, code, code, retryable)
  }

  /** Whether this attempt still owns its job. */
  owns({ job, attempt }: { job: string; attempt: number }): boolean {
    const found = this.jobs.get(job)
    return found?.running === true && found.attempt === attempt
  }

  /** Everything but commit and retire, which take steps. */
  answer<N extends AskName>(name: N, body: AskRequest<N>): AskAnswer<N> {
    const attempt = body as { job: string; attempt: number }
    if (name !== 'unlock' && !this.owns(attempt)) throw this.#refuse(name, 'fence-stale')
    return this.#answers(name, body as never) as AskAnswer<N>
  }

  #answers(name: AskName, body: never): unknown {
    const { objects } = this.state
    switch (name) {
      case 'listing': {
        const { what } = body as AskRequest<'listing'>
        return { objects: this.#listed(what), epoch: this.state.epoch }
      }
      case 'read': {
        const { what, id } = body as AskRequest<'read'>
        const bytes = objects.get(what === 'config' ? 'config' : `${what}s/${id}`)
        if (bytes === undefined) throw this.#refuse(name, 'not-found')
        return { bytes: bytes.toString('base64') }
      }
      case 'stored': {
        const { objects: asked } = body as AskRequest<'stored'>
        return {
          objects: asked.map(({ what, id }) => ({
            id,
            state: objects.has(what === 'pack' ? packKey(id) : `index/${id}`) ? 'stored' : 'absent',
          })),
        }
      }
      case 'lock':
        return this.#lock(body as AskRequest<'lock'>)
      case 'unlock': {
        const { id } = body as AskRequest<'unlock'>
        objects.delete(`locks/${id}`)
        this.#locks.delete(id)
        return {}
      }
      case 'proposal':
        return { decision: 'go' }
      case 'reconcile': {
        for (const { id } of (body as AskRequest<'reconcile'>).snapshots)
          this.state.snapshots.add(id)
        return {}
      }
      default:
        throw this.#refuse(name, 'forbidden')
    }
  }

  #lock({ id, bytes, replaces, job, attempt }: AskRequest<'lock'>) {
    const { objects } = this.state
    // Removed while its mover slept: whatever it believed may not be so any more.
    if (replaces !== undefined && !objects.has(`locks/${replaces}`)) {
      throw this.#refuse('lock', 'lock-lost')
    }
    objects.set(`locks/${id}`, Buffer.from(bytes, 'base64'))
    this.#locks.set(id, { job, attempt, deadSince: undefined })
    if (replaces !== undefined) {
      objects.delete(`locks/${replaces}`)
      this.#locks.delete(replaces)
    }
    const others = [...objects].flatMap(([key, sealed]) => {
      const other = /^locks\/(.*)$/.exec(key)?.[1]
      return other === undefined || other === id
        ? []
        : [{ id: other, bytes: sealed.toString('base64') }]
    })
    return { others }
  }

  #listed(what: AskRequest<'listing'>['what']): { id: string; bytes: number }[] {
    const { objects, condemned, snapshots } = this.state
    if (what === 'condemned') {
      const waiting = [...condemned].filter(([, { deleting }]) => !deleting)
      return waiting.map(([id]) => ({ id, bytes: objects.get(packKey(id))?.length ?? 0 }))
    }
    const folder = { packs: 'data/', index: 'index/', keys: 'keys/', snapshots: 'snapshots/' }
    const prefix = what === 'unknown-snapshots' ? 'snapshots/' : folder[what]
    const found = [...objects].flatMap(([key, { length }]) => {
      const id = key.slice(key.lastIndexOf('/') + 1)
      return key.startsWith(prefix) ? [{ id, bytes: length }] : []
    })
    return what === 'unknown-snapshots' ? found.filter(({ id }) => !snapshots.has(id)) : found
  }

  /** A host's PUT by grant: what has no lease any more gets none. */
  put(attempt: { job: string; attempt: number }, key: string, bytes: Uint8Array): boolean {
    if (!this.owns(attempt)) return false
    if (!this.state.objects.has(key)) this.state.objects.set(key, Buffer.from(bytes))
    return true
  }

  commit(body: AskRequest<'commit'>): Promise<AskAnswer<'commit'>> {
    return new Promise((resolve, reject) => {
      this.#claims.push({
        receipt: body.receipt,
        bytes: Buffer.from(body.bytes, 'base64'),
        state: 'checking',
        answer: (answer) => (answer instanceof Refusal ? reject(answer) : resolve(answer)),
      })
    })
  }

  retire(body: AskRequest<'retire'>): Promise<AskAnswer<'retire'>> {
    return new Promise((answer) => {
      this.#retiring.push({ retirement: body.retirement, state: 'checking', removed: 0, answer })
    })
  }

  /** What this plane could do next, by itself. */
  steps(): { what: string; act: () => void }[] {
    const due = this.#due()
    return [
      ...this.#claims.map((claim) => ({
        what: `plane: commit ${claim.state}`,
        act: () => this.#advance(claim),
      })),
      ...this.#retiring.map((one) => ({
        what: `plane: retirement ${one.state}`,
        act: () => this.#advanceRetiring(one),
      })),
      ...(due.length === 0 ? [] : [{ what: 'plane: delete', act: () => this.#delete(due[0]!) }]),
    ]
  }

  #advance(claim: Claim): void {
    const { state } = this
    const { receipt, bytes, answer } = claim
    const end = (why: AskAnswer<'commit'> | Refusal): void => {
      this.#claims.splice(this.#claims.indexOf(claim), 1)
      answer(why)
    }
    if (claim.state === 'checking') {
      const why = this.#whyNotCommitted(receipt)
      if (why !== undefined) end(this.#refuse('commit', why))
      else if (!this.#rules.guards || !this.#retiring.some((one) => one.state === 'removing')) {
        if (this.#rules.spare) for (const id of receipt.refers.packs) state.condemned.delete(id)
        claim.state = 'writing'
      }
      return
    }
    if (claim.state === 'writing') {
      state.objects.set(`snapshots/${receipt.snapshot}`, bytes)
      claim.state = 'written'
      return
    }
    state.receipts.push(receipt)
    state.snapshots.add(receipt.snapshot)
    this.accepted++
    const job = this.jobs.get(receipt.job)
    if (job !== undefined) job.snapshot = receipt.snapshot
    end({ state: 'accepted' })
  }

  #whyNotCommitted(receipt: Receipt): string | undefined {
    const { objects, epoch, condemned } = this.state
    if (!this.owns(receipt)) return 'fence-stale'
    if (this.#rules.epoch && receipt.epoch !== epoch) return 'epoch-stale'
    const keys = [
      ...receipt.packs.map(({ id }) => packKey(id)),
      ...receipt.indexes.map(({ id }) => `index/${id}`),
    ]
    if (keys.some((key) => !objects.has(key))) return 'claims-missing'
    const going = receipt.refers.packs.some((id) => condemned.get(id)?.deleting)
    return this.#rules.spare && going ? 'claims-missing' : undefined
  }

  #advanceRetiring(one: Retiring): void {
    const { state } = this
    const { retirement, answer } = one
    const end = (why: AskAnswer<'retire'>): void => {
      this.#retiring.splice(this.#retiring.indexOf(one), 1)
      answer(why)
    }
    if (one.state === 'checking') {
      const why = this.#whyNot(retirement)
      if (why !== undefined) {
        this.#refuse('retire', why)
        end({ state: 'refused', code: why, message: why })
      } else if (!this.#rules.guards || this.#claims.every((claim) => claim.state === 'checking')) {
        one.state = 'removing'
      }
      return
    }
    const index = retirement.replacedIndexes[one.removed]
    if (index !== undefined) {
      state.objects.delete(`index/${index}`)
      one.removed++
      return
    }
    const named = new Set([...retirement.confirmed, ...retirement.condemned.map(({ id }) => id)])
    for (const [id, pack] of state.condemned) {
      if (retirement.confirmed.includes(id)) pack.confirmed = true
      // What was not named again may be in use again.
      else if (!named.has(id) && !pack.deleting) state.condemned.delete(id)
    }
    for (const { id } of retirement.condemned) {
      state.condemned.set(id, { at: this.#now(), confirmed: false, deleting: false })
    }
    state.epoch++
    this.retired++
    end({ state: 'accepted' })
  }

  #whyNot(retirement: Retirement): string | undefined {
    const { objects, epoch, condemned } = this.state
    if (!this.owns(retirement)) return 'fence-stale'
    if (retirement.epoch !== epoch) return 'epoch-stale'
    const { packs, indexes } = retirement.added
    if (packs.some(({ id }) => !objects.has(packKey(id)))) return 'claims-missing'
    if (indexes.some(({ id }) => !objects.has(`index/${id}`))) return 'claims-missing'
    const going = new Set([...retirement.condemned.map(({ id }) => id), ...condemned.keys()])
    const heirs = retirement.condemned.flatMap((pack) => pack.heirs)
    if (heirs.some((heir) => going.has(heir) || !objects.has(packKey(heir)))) return 'invalid'
    const walked = new Set(retirement.walked)
    const read = [...objects.keys()].every(
      (key) => !key.startsWith('snapshots/') || walked.has(key.slice('snapshots/'.length)),
    )
    return read ? undefined : 'conflict'
  }

  #due(): string[] {
    return [...this.state.condemned].flatMap(([id, { at, confirmed }]) => {
      const due = this.#rules.confirm ? confirmed && at + floor <= this.#now() : true
      return due ? [id] : []
    })
  }

  /** Marked first, then gone: two steps. */
  #delete(id: string): void {
    const pack = this.state.condemned.get(id)!
    if (!pack.deleting) {
      pack.deleting = true
      return
    }
    this.state.objects.delete(packKey(id))
    this.state.condemned.delete(id)
    this.deleted++
  }

  /** The attempt is given up: nobody heard of it any more. Resolves to whether the job goes on with another. */
  giveUp(job: Job): boolean {
    for (const lock of this.#locks.values()) {
      if (lock.job === job.id && lock.attempt === job.attempt) lock.deadSince ??= this.#now()
    }
    // A claim that is being written will be accepted: the job has its snapshot, and no other attempt begins.
    const through =
      job.snapshot !== undefined ||
      this.#claims.some(({ receipt, state }) => receipt.job === job.id && state !== 'checking')
    const retiring = this.#retiring.some(
      ({ retirement, state }) => retirement.job === job.id && state === 'removing',
    )
    job.attempt++
    if (through || retiring) job.running = false
    return job.running
  }

  /** Takes the locks of the dead. */
  sweepLocks(): void {
    for (const [id, { deadSince }] of this.#locks) {
      if (deadSince === undefined || deadSince + lockLife > this.#now()) continue
      this.state.objects.delete(`locks/${id}`)
      this.#locks.delete(id)
    }
  }

  forget(snapshot: string): void {
    this.state.objects.delete(`snapshots/${snapshot}`)
  }
}
