// kill -9 at random moments, attempt after attempt, as supervisor and plane would go on: and at the end a repository
// that stock restic finds sound, with one snapshot per job.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { compareTrees } from '../support/compare-trees.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, runMover, startMover, uuid } from './drive.ts'
import { setScene } from './scene.ts'

export interface Killing {
  readonly kills: number
  /** Kills that came after the commit was accepted and before the mover said so. */
  readonly afterCommit: number
  readonly jobs: number
}

/** Until `kills` movers were killed in the middle of their work. Throws where anything is not as it must be. */
export async function killUntilSound(kills: number, seed: string): Promise<Killing> {
  const seeded = createSeeded(`killing ${seed}`)
  const scene = await setScene()
  const { host, plane, restic } = scene
  try {
    const source = scene.make('source')
    const write = (name: string, bytes: number) =>
      writeFileSync(join(source, name), seeded.bytes(bytes))
    for (let i = 0; i < 40; i++) write(`file ${i}`, seeded.between(1, 1_000_000))
    let killed = 0
    let afterCommit = 0
    const jobs: string[] = []
    let parent: string | undefined
    // How long a run takes, roughly, learned as we go: kills spread over all of it.
    let usual = 2_000
    while (killed < kills) {
      write(`file ${seeded.between(0, 60)}`, seeded.between(1, 3_000_000))
      const id = uuid()
      jobs.push(id)
      const base = parent === undefined ? {} : { parent }
      for (let attempt = 1; !plane.hasSnapshotOf(id); attempt++) {
        const wish = backupOf('v', source, { ...base, id, attempt })
        // Few enough attempts are let live that the kills are reached soon.
        if (killed >= kills || attempt > 4) {
          const ran = await runMover(host, plane, [wish])
          expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
          usual = ran.milliseconds
          continue
        }
        const driving = startMover(host, plane, [wish])
        const timer = setTimeout(() => driving.kill(), seeded.between(50, Math.round(usual * 1.1)))
        const ran = await driving.ended
        clearTimeout(timer)
        if (ran.signal === 'SIGKILL') {
          killed++
          if (plane.hasSnapshotOf(id)) afterCommit++
        } else {
          expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
          usual = ran.milliseconds
        }
      }
      parent = plane.receipts.at(-1)!.snapshot
    }
    // The locks of the dead are the plane's to remove, 30 min after their leases.
    await restic.run('unlock', '--remove-all')
    await restic.check()
    const snapshots = await restic.snapshots()
    const tags = snapshots.flatMap(({ tags = [] }) => tags.filter((tag) => tag.startsWith('job:')))
    expect(tags.sort()).toEqual(jobs.map((job) => `job:${job}`).sort())
    const target = scene.make('target')
    await restic.restore(parent!, target)
    const { differences } = compareTrees(source, join(target, 'volumes/v'), {
      ignore: ['allocation-grew'],
    })
    expect(differences).toEqual([])
    return { kills: killed, afterCommit, jobs: jobs.length }
  } finally {
    await scene.close()
  }
}
