// kill -9 of a random part at a random moment, again and again: each run completes, once, and the repository stays clean.
import { randomBytes, randomInt } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import { type Fleet, type FleetHost, type Job, startFleet } from '../support/fleet.ts'
import { createSeeded, type Seeded } from '../support/seeded.ts'

const victims = ['mover', 'agent', 'plane'] as const
export type Victim = (typeof victims)[number]

/** Bytes of the source: several packs, so that uploads are under way for a while. */
const FILES = 12
const FILE_BYTES = 1_500_000

/** The most a kill may come later than the usual length of a run, as a share of it. */
const OVERRUN = 1.1

/** `restic check --read-data` after this many kills, and at the end. */
const CHECK_EVERY = 10

/** A run that was struck starts anew within seconds; the agent's pauses between dials make it half a minute. In ms. */
const PATIENCE = 120_000

export interface KillReport {
  readonly kills: Readonly<Record<Victim, number>>
  readonly runs: number
}

/** Runs backups until `kills` of them were struck. The seed is in the error text, and printed. */
export async function killAtRandom(kills: number): Promise<KillReport> {
  const seed = process.env.HOLDFAST_SEED ?? String(randomInt(1_000_000_000))
  console.log(`seed ${seed} (HOLDFAST_SEED=${seed} chooses the same victims and moments again)`)
  const fleet = await startFleet()
  try {
    return await story(fleet, kills, createSeeded(`kills ${seed}`))
  } catch (error) {
    throw new Error(
      `with seed ${seed}: ${(error as Error).message}\n${fleet.log().slice(-8_192)}`,
      {
        cause: error,
      },
    )
  } finally {
    await fleet.stop()
  }
}

async function story(fleet: Fleet, kills: number, seeded: Seeded): Promise<KillReport> {
  const source = join(fleet.folder, 'source')
  mkdirSync(source)
  for (let i = 0; i < FILES; i++) rewrite(source, i, seeded)
  const host = await fleet.host('web-1', { directories: [source] })
  await host.offers(`directory:${source}`)
  const calm = await host.backup(`directory:${source}`)
  expect(calm.outcome).toBe('succeeded')
  // Locks of killed movers stay until their lease lapsed half an hour ago: the judge goes by without one.
  const restic = fleet.restic(host)
  const usual = Date.parse(calm.finishedAt!) - Date.parse(calm.startedAt!)
  const jobs = [calm.id]
  const struck: Record<Victim, number> = { mover: 0, agent: 0, plane: 0 }
  const told: string[] = []
  let hits = 0
  // A kill can miss: the run was over already. Those runs count as runs, not as kills.
  for (let run = 0; hits < kills; run++) {
    if (run > kills * 3) throw new Error(`only ${hits} of ${run} kills hit a run`)
    for (let i = 0; i < FILES / 2; i++) rewrite(source, seeded.between(0, FILES - 1), seeded)
    const victim = victims[run % victims.length]!
    const delay = seeded.between(0, Math.round(usual * OVERRUN))
    const request = requestBackup(fleet, `directory:${source}`, jobs)
    await sleep(delay)
    const hit = await kill(fleet, host, victim)
    const id = await request
    jobs.push(id)
    told.push(`${victim} after ${delay} ms${hit ? '' : ' (missed)'}: ${id}`)
    const job = await settled(fleet, id).catch((error: Error) => {
      throw new Error(`${error.message}\n${told.join('\n')}`)
    })
    if (job.outcome !== 'succeeded') {
      throw new Error(
        `job ${id}, whose ${victim} was killed after ${delay} ms, ended as ${job.outcome} (${job.reason}): ${job.message}`,
      )
    }
    if (!hit) continue
    struck[victim]++
    hits++
    if (hits % CHECK_EVERY === 0) await restic.check({ readData: true, noLock: true })
  }
  const after = await host.backup(`directory:${source}`)
  expect(after.outcome).toBe('succeeded')
  jobs.push(after.id)
  await restic.check({ readData: true, noLock: true })
  const snapshots = await restic.snapshots()
  const tags = snapshots.map(({ tags }) => tags?.find((tag) => tag.startsWith('job:')) ?? 'none')
  expect(tags.toSorted()).toEqual(jobs.map((id) => `job:${id}`).toSorted())
  const target = join(fleet.folder, 'restored')
  await restic.restore(after.snapshot!, target)
  const { differences, entries } = compareTrees(source, join(target, source))
  expect(differences.map(printDifference)).toEqual([])
  expect(entries).toBe(readdirSync(source).length + 1)
  rmSync(target, { recursive: true })
  return { kills: struck, runs: jobs.length }
}

function rewrite(source: string, i: number, seeded: Seeded): void {
  writeFileSync(join(source, `file-${i}`), seeded.bytes(FILE_BYTES))
}

/** True if there was something to kill. Starts again what does not do so by itself. */
async function kill(fleet: Fleet, host: FleetHost, victim: Victim): Promise<boolean> {
  const mover = host.mover()
  if (victim === 'mover') {
    if (mover === undefined) return false
    try {
      process.kill(mover, 'SIGKILL')
    } catch {
      return false
    }
    return true
  }
  if (victim === 'agent') {
    await host.kill()
    host.start()
  } else {
    await fleet.killPlane()
    await fleet.startPlane()
  }
  return mover !== undefined
}

/**
 * Asks until an answer came, with the same key as long as that helps, as a careful program does: when the answer
 * died with the control plane, it looks for the job before it asks anew.
 */
async function requestBackup(
  fleet: Fleet,
  source: string,
  known: readonly string[],
): Promise<string> {
  let key = randomBytes(16).toString('hex')
  for (let tries = 0; ; tries++) {
    try {
      const answer = await fetch(`${fleet.url}/api/v1/jobs/backup`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${fleet.token}`,
          'content-type': 'application/json',
          'idempotency-key': key,
        },
        body: JSON.stringify({ host: 'web-1', sources: [source] }),
      })
      const text = await answer.text()
      if (answer.status === 202) {
        const { items } = JSON.parse(text) as { items: { id: string }[] }
        return items[0]!.id
      }
      if (answer.status === 409) {
        const begun = (await fleet.list('jobs', '--kind', 'backup', '--limit', '5'))
          .map(({ id }) => id as string)
          .find((id) => !known.includes(id))
        if (begun !== undefined) return begun
        key = randomBytes(16).toString('hex')
      } else if (answer.status < 500) throw new Error(`the request was refused: ${text}`)
    } catch (error) {
      if (tries === 100 || !(error instanceof TypeError)) throw error
    }
    await sleep(100)
  }
}

/** Looks until the job is over, as often as the control plane went away. */
async function settled(fleet: Fleet, id: string): Promise<Job> {
  const deadline = performance.now() + PATIENCE
  let seen: Job | undefined
  while (performance.now() < deadline) {
    const answer = await fetch(`${fleet.url}/api/v1/jobs/${id}`, {
      headers: { authorization: `Bearer ${fleet.token}` },
    }).catch(() => undefined)
    if (answer?.ok) seen = (await answer.json()) as Job
    if (seen?.state === 'finished') return seen
    await sleep(100)
  }
  throw new Error(`job ${id} was not over after ${PATIENCE / 1_000} s: ${JSON.stringify(seen)}`)
}
