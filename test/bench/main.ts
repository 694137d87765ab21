// `npm run bench`: the whole product beside stock restic, on the same data and the same store, in turns.
//
//   npm run bench               500 MB, the median of three rounds
//   npm run bench -- --quick    100 MB, one round
//   npm run bench -- --json     one object as the last line, for programs
//
// Times of ours are those of the job: from the moment the host was given it to the moment the control plane knew
// that it was done, with control plane, agent and mover on this machine. Restic's are those of its process.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { ensurePrograms } from '../rig/packages.ts'
import { resticVersion } from '../rig/restic.ts'
import { type Rgw, startRgw } from '../rig/rgw.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { writeBody } from '../support/tree-body.ts'
import { deeds, type Round, runOurs, runRestic, type Scene, sizeOf } from './contenders.ts'
import { median, memoryOf } from './measure.ts'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const BYTES = flags.quick ? 100_000_000 : 500_000_000
const ROUNDS = flags.quick ? 1 : 3
/** A cluster in memory that holds what one round stores, twice, and room to forget it slowly. In bytes. */
const RGW_CAPACITY = 6 * 1024 ** 3
/** An agent is idle when it had nothing to do for this long, in ms. */
const IDLE_AFTER = 10_000

const MB = 1_000_000
const say = (line: string) => process.stderr.write(`${line}\n`)

interface Score {
  readonly seconds: number
  readonly mb_s: number
  readonly rss_mb: number
  /** After the first backup. */
  readonly stored_mb: number
}
interface Case {
  readonly name: string
  readonly ours: Score
  readonly restic: Score
  /** Our MB/s over restic's: above 1 we are faster. */
  readonly ratio: number
}

const round = (value: number, digits: number) => Number(value.toFixed(digits))

function scoreOf(rounds: readonly Round[], deed: (typeof deeds)[number], bytes: number): Score {
  const seconds = median(rounds.map((one) => one.deeds[deed].seconds))
  return {
    seconds: round(seconds, 2),
    mb_s: round(bytes / MB / seconds, 1),
    rss_mb: round(median(rounds.map((one) => one.deeds[deed].peakBytes)) / MB, 0),
    stored_mb: round(median(rounds.map((one) => one.storedBytes)) / MB, 1),
  }
}

async function compare(store: string, scene: Scene, bytes: number): Promise<Case[]> {
  const ours: Round[] = []
  const restic: Round[] = []
  for (let i = 1; i <= ROUNDS; i++) {
    const name = `${store}-${i}`
    const turns = [
      async () => ours.push(await runOurs(scene, name)),
      async () => restic.push(await runRestic(scene, name)),
    ]
    // Whoever comes second finds warmer caches, so they take turns at it.
    for (const turn of i % 2 === 1 ? turns : turns.toReversed()) await turn()
    const told = (one: Round) =>
      deeds.map((d) => `${d} ${one.deeds[d].seconds.toFixed(1)} s`).join(', ')
    say(`  ${store}, round ${i}: ours ${told(ours.at(-1)!)}; restic ${told(restic.at(-1)!)}`)
  }
  return deeds.map((deed) => {
    const [mine, theirs] = [scoreOf(ours, deed, bytes), scoreOf(restic, deed, bytes)]
    const ratio = round(mine.mb_s / theirs.mb_s, 2)
    return { name: `${deed}, ${store}`, ours: mine, restic: theirs, ratio }
  })
}

async function idleAgent(fleet: Fleet): Promise<number> {
  const host = await fleet.host('idle')
  await sleep(IDLE_AFTER)
  const bytes = memoryOf(host.agent.pid, 'VmRSS')
  await host.stop()
  return bytes
}

/** Reads every file once, so that nobody's first run pays for a cold disk. */
function warm(tree: string): void {
  for (const name of readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
    const path = join(tree, name)
    if (statSync(path).isFile()) readFileSync(path)
  }
}

async function bench(): Promise<void> {
  const missing = await ensurePrograms(['restic'], say)
  if (missing !== undefined) throw new Error(missing)
  const fleet = await startFleet()
  let rgw: Rgw | undefined
  const cases: Case[] = []
  try {
    const tree = join(fleet.folder, 'tree')
    say(`Making ${BYTES / MB} MB of files.`)
    writeBody(tree, BYTES, 'bench')
    warm(tree)
    const bytes = sizeOf(tree)
    const idle = await idleAgent(fleet)
    cases.push(...(await compare('disk', { fleet, tree }, bytes)))
    rgw = await startRgw({ capacity: RGW_CAPACITY, say }).catch((error: Error) => {
      say(`NO BUCKET TO MEASURE ON: ${error.message}`)
      return undefined
    })
    if (rgw !== undefined) {
      const name = await rgw.makeBucket('bench')
      await fleet.addVault('ceph', rgw, name)
      const scene = { fleet, tree, bucket: { access: rgw, name, vault: 'ceph' } }
      cases.push(...(await compare('bucket', scene, bytes)))
    }
    print(cases, idle, bytes, await resticVersion())
  } finally {
    await fleet.stop()
    await rgw?.stop()
  }
}

function print(cases: readonly Case[], idle: number, bytes: number, version: string): void {
  const table = new Table({
    head: ['', 'ours', 'restic', 'ours/restic', 'our peak', "restic's", 'stored', "restic's"],
    style: { head: [], border: [] },
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
  })
  for (const { name, ours, restic, ratio } of cases) {
    table.push([
      name,
      `${ours.seconds} s, ${ours.mb_s} MB/s`,
      `${restic.seconds} s, ${restic.mb_s} MB/s`,
      `${ratio} ×`,
      `${ours.rss_mb} MB`,
      `${restic.rss_mb} MB`,
      `${ours.stored_mb} MB`,
      `${restic.stored_mb} MB`,
    ])
  }
  say('')
  say(table.toString())
  say(
    `${round(bytes / MB, 0)} MB, median of ${ROUNDS}; restic ${version}. An idle agent has ${round(idle / MB, 0)} MB.`,
  )
  if (flags.json) {
    const agent = { idle_rss_mb: round(idle / MB, 0) }
    process.stdout.write(`${JSON.stringify({ cases, agent, megabytes: round(bytes / MB, 0) })}\n`)
  }
}

try {
  await bench()
} catch (error) {
  say(
    `The bench failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  )
  process.exitCode = 1
}
process.exit()
