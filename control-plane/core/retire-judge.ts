// What must hold before a host's retirement is believed. Nothing here changes anything.
import type { Retirement } from '../../shared/backup/retirement.ts'
import type { ErrorCode } from '../../shared/errors.ts'
import { packKey, repositoryPrefix } from '../../shared/vault/layout.ts'
import type { Objects } from '../ports/objects.ts'
import type { GrantsStore } from '../ports/store/grants.ts'
import type { RetirementRow, RetirementsStore } from '../ports/store/retirements.ts'
import { inParallel, STORE_WIDTH } from './in-parallel.ts'
import { idsUnder } from './listed-ids.ts'

/** Objects asked for together, of the catalogue or of the store. */
const STEP_CALLS = 500
/** Things that a refusal names. */
const NAMED = 3

export interface RetireRefusal {
  readonly code: ErrorCode
  readonly message: string
}

export type ClaimedRetirement = RetirementRow & { readonly retirement: Retirement }
type Claimed = ClaimedRetirement

export function createRetireJudge(deps: {
  readonly retirements: Pick<RetirementsStore, 'proposal' | 'condemned' | 'neededFor' | 'refers'>
  readonly grants: Pick<GrantsStore, 'known'>
}) {
  const { retirements, grants } = deps

  /** Everything that must hold before an index file goes. All of it is asked again after a restart. */
  async function judge(row: Claimed, objects: Objects): Promise<RetireRefusal | undefined> {
    return (
      (await judgeAmount(row)) ??
      (await judgeHeirs(row, objects)) ??
      (await judgeIndexes(row, objects)) ??
      (await judgeSnapshots(row, objects))
    )
  }

  /** No more than was proposed and let go. */
  async function judgeAmount(row: Claimed): Promise<RetireRefusal | undefined> {
    const { condemned } = row.retirement
    if (condemned.length === 0) return undefined
    const proposal = await retirements.proposal(row.job, row.attempt)
    if (proposal?.decision !== 'go') {
      return { code: 'forbidden', message: 'this attempt was not told to go on' }
    }
    const own = new Map<string, number>()
    for (let from = 0; from < condemned.length; from += STEP_CALLS) {
      const ids = condemned.slice(from, from + STEP_CALLS).map(({ id }) => id)
      for (const { id, bytes } of await grants.known(row.repository, ids)) own.set(id, bytes)
    }
    const bytes = condemned.reduce((sum, pack) => sum + (own.get(pack.id) ?? pack.bytes), 0)
    const allowed = proposal.unreferencedBytes + proposal.repackBytes
    if (bytes <= allowed) return undefined
    return { code: 'forbidden', message: `${bytes} bytes are condemned, ${allowed} were proposed` }
  }

  /** What inherits a pack's content is there and stays. */
  async function judgeHeirs(row: Claimed, objects: Objects): Promise<RetireRefusal | undefined> {
    const { condemned, added } = row.retirement
    const heirs = new Set(condemned.flatMap((pack) => pack.heirs))
    if (heirs.size === 0) return undefined
    const going = new Set(condemned.map(({ id }) => id))
    for (const [id] of await retirements.condemned(row.repository)) going.add(id)
    const lost = [...heirs].filter((id) => going.has(id))
    if (lost.length > 0) {
      return { code: 'invalid', message: `heirs that are condemned themselves: ${listed(lost)}` }
    }
    const stored = new Set(added.packs.map(({ id }) => id))
    const others = [...heirs].filter((id) => !stored.has(id))
    for (let from = 0; from < others.length; from += STEP_CALLS) {
      const ids = others.slice(from, from + STEP_CALLS)
      const known = await grants.known(row.repository, ids)
      for (const { id, what } of known) if (what === 'pack') stored.add(id)
    }
    const unknown = others.filter((id) => !stored.has(id))
    // What came from outside may not be in the catalogue yet: the store is asked.
    const sizes = await inParallel(unknown.slice(0, STEP_CALLS), STORE_WIDTH, (id) =>
      objects.head(packKey(row.repository, id)),
    )
    const missing = unknown.filter((_, at) => sizes[at] === undefined)
    if (missing.length === 0) return undefined
    return { code: 'claims-missing', message: `heirs that nobody stored: ${listed(missing)}` }
  }

  /** A repository with snapshots is never left without an index file. */
  async function judgeIndexes(row: Claimed, objects: Objects): Promise<RetireRefusal | undefined> {
    const { replacedIndexes, added } = row.retirement
    if (replacedIndexes.length === 0 || added.indexes.length > 0) return undefined
    const replaced = new Set(replacedIndexes)
    const prefix = repositoryPrefix(row.repository)
    for await (const { id } of idsUnder(objects, `${prefix}index/`)) {
      if (!replaced.has(id)) return undefined
    }
    for await (const _ of idsUnder(objects, `${prefix}snapshots/`)) {
      return { code: 'invalid', message: 'every index file would go, and snapshots stay' }
    }
    return undefined
  }

  /**
   * No pack that a kept snapshot needs goes without heirs. What a snapshot's own run found content in, it needs,
   * whatever anybody says now. Else the host's signed word decides for the snapshots this prune walked, and for any
   * other its receipts, which may name more than it needs.
   */
  async function judgeSnapshots(
    row: Claimed,
    objects: Objects,
  ): Promise<RetireRefusal | undefined> {
    const { condemned, walked } = row.retirement
    const orphaned = condemned.filter(({ heirs }) => heirs.length === 0).map(({ id }) => id)
    if (orphaned.length === 0) return undefined
    const lost = withoutHeirs(orphaned, await retirements.condemned(row.repository))
    const needed = await retirements.neededFor(row.repository, [...lost])
    if (needed !== undefined) {
      return {
        code: 'conflict',
        message: `pack ${needed.pack} holds content of snapshot ${needed.snapshot}, which is kept`,
      }
    }
    const read = new Set(walked)
    const unread: string[] = []
    const prefix = `${repositoryPrefix(row.repository)}snapshots/`
    // The bucket decides what is kept, not the catalogue: anybody may have added one since this prune looked.
    for await (const { id } of idsUnder(objects, prefix)) if (!read.has(id)) unread.push(id)
    return judgeUnread(row.repository, unread, lost)
  }

  async function judgeUnread(
    repository: string,
    unread: readonly string[],
    lost: ReadonlySet<string>,
  ): Promise<RetireRefusal | undefined> {
    const seen = new Set<string>()
    for (let wave = unread; wave.length > 0; ) {
      const found = await retirements.refers(repository, wave)
      const told = new Set(found.filter(({ packs }) => packs !== null).map(({ id }) => id))
      const silent = wave.filter((id) => !told.has(id))
      if (silent.length > 0) {
        return {
          code: 'conflict',
          message: `snapshots this prune did not read, and nobody knows what they need: ${listed(silent)}`,
        }
      }
      const next = new Set<string>()
      for (const { id, base, packs } of found) {
        seen.add(id)
        const pack = packs?.find((one) => lost.has(one))
        if (pack !== undefined) {
          return {
            code: 'conflict',
            message: `pack ${pack} may be needed by snapshot ${id}, which this prune did not read`,
          }
        }
        if (base !== null && !seen.has(base)) next.add(base)
      }
      wave = [...next]
    }
    return undefined
  }

  return { judge }
}
export type RetireJudge = ReturnType<typeof createRetireJudge>

/** What is wrong with a retirement whatever the store holds. */
export function wrongInItself(retirement: Retirement): RetireRefusal | undefined {
  const { condemned, unindexed, added, replacedIndexes, confirmed } = retirement
  const wrong = (message: string): RetireRefusal => ({ code: 'invalid', message })
  const going = condemned.map(({ id }) => id)
  const loose = unindexed.map(({ id }) => id)
  // A pack that waits for its deletion is in the store and in no index file: it may be both of the latter.
  for (const named of [
    [...going, ...loose],
    [...going, ...confirmed],
  ]) {
    if (new Set(named).size < named.length) return wrong('a pack is named twice')
  }
  const kept = new Set(added.packs.map(({ id }) => id))
  if ([...going, ...loose, ...confirmed].some((id) => kept.has(id)))
    return wrong('a pack that was just stored is given up')
  const replaced = new Set(replacedIndexes)
  if (replaced.size < replacedIndexes.length) return wrong('an index file is named twice')
  if (added.indexes.some(({ id }) => replaced.has(id))) {
    return wrong('an index file that was just stored is replaced')
  }
  return undefined
}

/** The first few, and how many more. */
export function listed(names: readonly string[]): string {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : ''
  return `${names.slice(0, NAMED).join(', ')}${more}`
}

/** Packs whose content is nowhere once `orphaned` go: these, and earlier ones all of whose heirs are among them. */
function withoutHeirs(
  orphaned: readonly string[],
  condemned: ReadonlyMap<string, { readonly heirs: readonly string[] }>,
): Set<string> {
  const lost = new Set(orphaned)
  for (let before = -1; before < lost.size; ) {
    before = lost.size
    for (const [id, { heirs }] of condemned) {
      if (heirs.length > 0 && heirs.every((heir) => lost.has(heir))) lost.add(id)
    }
  }
  return lost
}
