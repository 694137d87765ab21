// `npm run bench`: Holdfast beside stock restic, on the same data and the same store, in turns.
//
//   npm run bench                        the full run: 1 GB and more, medians of five rounds, judged; up to an hour
//   npm run bench -- --quick             a tenth of it, three rounds, judges nothing; ends within five minutes
//   npm run bench -- --json              one object as the last line of stdout, for programs
//   npm run bench -- --only <pattern>    only cases whose name matches, e.g. 'restore|verify', 'mixed, disk'
//   npm run bench -- --rounds <n>        other than five (three with --quick)
//   npm run bench -- --store disk|rgw    only on a directory, or only on Ceph's gateway
//   npm run bench -- --folder <path>     where data and repositories lie; default: memory, where there is enough
//   npm run bench -- --profile           where the time of one case goes: the first that --only names
//
// On a directory, times of ours are those of our engine as a process, from its start to its end: the mover's code over
// the directory store, without a network. On the gateway they are those of the job: from the moment the host was given
// it to the moment the control plane knew that it was done, with control plane, agent and mover on this machine.
// Restic's are those of its process, at its defaults.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { noTraces, remember, sweep } from '../rig/leftovers.ts'
import { ensurePrograms } from '../rig/packages.ts'
import { type Rgw, startRgw } from '../rig/rgw.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { type Deed, type Plan, plans, type Store } from './cases.ts'
import type { Bucket, Contender } from './contender.ts'
import { type DataSetName, dataSets, type Extent, warm } from './data-sets.ts'
import { measureFloor } from './floor.ts'
import { startEngine } from './our-engine.ts'
import { startProduct } from './our-product.ts'
import { chooseFolder } from './place.ts'
import { type FloorOf, printCases, printFloors } from './print.ts'
import { summarise } from './profile.ts'
import { runRounds, type Side } from './rounds.ts'
import { type Case, caseName, casesOf } from './scores.ts'
import { newestRestic, startRestic } from './stock-restic.ts'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    store: { type: 'string' },
    folder: { type: 'string' },
  },
})
/** Of the full size. */
const SCALE = flags.quick ? 0.1 : 1
const ROUNDS = Number(flags.rounds ?? (flags.quick ? 3 : 5))
const FLOOR_ROUNDS = 3
/**
 * No further round begins after this, in seconds, unless their number was asked for: what then still has to come is
 * one round of each plan that is left, and the whole ends within five minutes, or an hour.
 */
const LAST_ROUND =
  flags.rounds === undefined ? (flags.quick ? 200 : 3_000) : Number.POSITIVE_INFINITY
/** A cluster in memory that holds what one round stores, twice, and room to forget it slowly. In bytes. */
const RGW_CAPACITY = SCALE * 10 * 1024 ** 3 + 2 * 1024 ** 3

const say = (line: string) => process.stderr.write(`${line}\n`)
const only = flags.only === undefined ? undefined : new RegExp(flags.only, 'i')

function wantedDeeds(plan: Plan, store: Store): readonly Deed[] {
  if (plan.fullOnly && flags.quick && only === undefined) return []
  if (flags.store !== undefined && flags.store !== store) return []
  return plan.deeds.filter((deed) => only?.test(caseName(deed, plan.data, store)) ?? true)
}

interface Stage {
  readonly folder: string
  readonly restic: ReturnType<typeof newestRestic>
  /** Starts what is needed for the bucket, once; undefined where that is impossible. */
  bucket(): Promise<{ fleet: Fleet; bucket: Bucket } | undefined>
  stop(): Promise<void>
}

function setStage(folder: string): Stage {
  let rgw: Rgw | undefined
  let fleet: Fleet | undefined
  let started: ReturnType<Stage['bucket']> | undefined
  async function start() {
    rgw = await startRgw({ capacity: RGW_CAPACITY, say }).catch((error: Error) => {
      say(`NO GATEWAY TO MEASURE ON: ${error.message}`)
      return undefined
    })
    if (rgw === undefined) return undefined
    fleet = await startFleet()
    const name = await rgw.makeBucket('bench')
    await fleet.addVault('ceph', rgw, name)
    return { fleet, bucket: { rgw, name, vault: 'ceph' } }
  }
  return {
    folder,
    restic: newestRestic(),
    bucket() {
      started ??= start()
      return started
    },
    async stop() {
      await fleet?.stop()
      await rgw?.stop()
    },
  }
}

async function runPlan(
  stage: Stage,
  plan: Plan,
  store: Store,
  tree: string,
  extent: Extent,
): Promise<Case[]> {
  const wanted = wantedDeeds(plan, store)
  if (wanted.length === 0) return []
  const place = store === 'rgw' ? await stage.bucket() : undefined
  if (store === 'rgw' && place === undefined) return []
  const { restic, folder } = stage
  const start = (side: Side, name: string): Promise<Contender> => {
    const own = { restic, tree, folder: join(folder, name) }
    if (side === 'restic') return startRestic({ ...own, ...place })
    if (place !== undefined) return startProduct({ restic, tree, name, ...place })
    return startEngine({ ...own, code: join(folder, 'code') })
  }
  const set = dataSets[plan.data]
  const samples = await runRounds({
    plan,
    store,
    wanted,
    rounds: ROUNDS,
    inTime: () => performance.now() / 1_000 < LAST_ROUND,
    set,
    tree,
    folder,
    start,
    say,
  })
  return casesOf(samples, { data: plan.data, store, extent, judged: !flags.quick })
}

/** Makes a set of data, lends it, and takes it away. */
async function withData<T>(
  folder: string,
  data: DataSetName,
  use: (tree: string, extent: Extent) => Promise<T>,
): Promise<T> {
  const set = dataSets[data]
  const tree = join(folder, `tree-${data}`)
  mkdirSync(tree)
  say(`Making ${set.name}: ${set.describe(SCALE)}`)
  set.make(tree, SCALE)
  try {
    return await use(tree, warm(tree))
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
}

async function bench(stage: Stage): Promise<void> {
  const cases: Case[] = []
  const floors: FloorOf[] = []
  const names = [...new Set(plans.map((plan) => plan.data))]
  for (const data of names) {
    const mine = plans
      .filter((plan) => plan.data === data)
      .flatMap((plan) => plan.stores.map((store) => ({ plan, store })))
      .filter(({ plan, store }) => wantedDeeds(plan, store).length > 0)
    if (mine.length === 0) continue
    await withData(stage.folder, data, async (tree, extent) => {
      const { bytes, files } = extent
      const programs = await measureFloor(tree, bytes, FLOOR_ROUNDS)
      const megabytes = Math.round(bytes / 1_000_000)
      floors.push({ data: dataSets[data].name, megabytes, files, programs })
      for (const { plan, store } of mine) {
        cases.push(...(await runPlan(stage, plan, store, tree, extent)))
      }
    })
  }
  const { version } = stage.restic
  say(`\n${printCases(cases)}`)
  const fewer = cases.filter((one) => one.rounds < ROUNDS).map((one) => one.name)
  const cut = fewer.length === 0 ? '' : ` (fewer, for want of time: ${fewer.join('; ')})`
  say(
    `Medians of ${ROUNDS}${cut}; restic ${version}; seconds of the job on rgw, of the process on disk.`,
  )
  say(`\n${printFloors(floors, cases)}`)
  if (flags.json) {
    const about = { quick: flags.quick, rounds: ROUNDS, restic_version: version }
    process.stdout.write(`${JSON.stringify({ cases, floor: floors, ...about })}\n`)
  }
}

/** One round of one case with profiles on; told, not judged. */
async function profile(stage: Stage): Promise<void> {
  const plan = plans.find((one) => wantedDeeds(one, 'disk').length > 0)
  const [deed] = plan === undefined ? [] : wantedDeeds(plan, 'disk')
  if (plan === undefined || deed === undefined) throw new Error('no case of that name on a disk')
  await withData(stage.folder, plan.data, async (tree) => {
    const into = join(stage.folder, 'profile')
    const own = { restic: stage.restic, tree, code: join(stage.folder, 'code'), say }
    const start = (side: Side, name: string): Promise<Contender> =>
      side === 'restic'
        ? startRestic({ ...own, folder: join(stage.folder, name) })
        : startEngine({ ...own, folder: join(stage.folder, name), profile: into })
    const wanted = plan.deeds.slice(0, plan.deeds.indexOf(deed) + 1)
    const inTime = () => false
    const options = {
      plan,
      store: 'disk',
      rounds: 1,
      inTime,
      set: dataSets[plan.data],
      tree,
    } as const
    await runRounds({ ...options, wanted, folder: stage.folder, start, say })
    // The deeds before it made what it needs, and have profiles of their own.
    const last = readdirSync(into).sort().at(-1)!
    say(
      `\n${caseName(deed, plan.data, 'disk')}, where our time goes:\n\n${summarise(join(into, last))}`,
    )
  })
}

async function main(): Promise<void> {
  const missing = await ensurePrograms(['restic'], say)
  if (missing !== undefined && process.env.RESTIC_BIN === undefined) throw new Error(missing)
  await sweep(say)
  const parent = flags.folder ?? chooseFolder(SCALE, say)
  // Control plane and gateway keep what is theirs in the same place.
  process.env.TMPDIR = parent
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const remembered = remember({ ...noTraces, what: 'a bench', marks: [folder], folders: [folder] })
  const stage = setStage(folder)
  try {
    await (flags.profile ? profile(stage) : bench(stage))
  } finally {
    await stage.stop()
    await remembered.clear()
  }
}

try {
  await main()
} catch (error) {
  const told = error instanceof Error ? (error.stack ?? error.message) : String(error)
  say(`The bench failed: ${told}`)
  process.exitCode = 1
}
process.exit()
