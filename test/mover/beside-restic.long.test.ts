// Prunes and backups of ours beside a person's stock restic, all at once and again and again: whoever comes too late is
// kept out or waits, and after each round everything that anybody made is there.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, pruneOf, runMover, startMover } from './drive.ts'
import { type Scene, setScene } from './scene.ts'

const stock = await useRestic()
const seed = process.env.HOLDFAST_SEED ?? String(process.pid)
const seeded = createSeeded(`beside restic ${seed}`)
const rounds = 25

describe.skipIf(stock.missing)('beside stock restic', () => {
  let scene: Scene
  let source: string

  beforeAll(async () => {
    scene = await setScene()
    source = scene.make('source')
    change(12)
  })
  afterAll(() => scene?.close())

  function change(files: number): void {
    for (let i = 0; i < files; i++) {
      const path = join(source, `file ${seeded.between(0, 15)}`)
      writeFileSync(path, seeded.bytes(seeded.between(1_000, 400_000)))
    }
  }
  const later = () => new Promise((resolve) => setTimeout(resolve, seeded.between(0, 1_500)))

  /** What the four did, by name and outcome. */
  const outcomes: Record<string, number> = {}
  const note = (who: string, how: string) => {
    outcomes[`${who}: ${how}`] = (outcomes[`${who}: ${how}`] ?? 0) + 1
  }

  async function ours(kind: 'backup' | 'prune', parent: string | undefined): Promise<void> {
    await later()
    const wish = kind === 'prune' ? pruneOf() : backupOf('v', source, parent ? { parent } : {})
    const driving = startMover(scene.host, scene.plane, [wish])
    const ran = await driving.ended
    const [done] = ran.done
    note(kind, `${done?.outcome} ${done?.reason}`)
    const fine = done?.outcome === 'succeeded' || done?.reason === 'repository-locked'
    expect(fine, JSON.stringify(ran.done)).toBe(true)
  }

  async function theirs(...words: string[]): Promise<void> {
    await later()
    const ended = await scene.restic.attempt(...words)
    const locked = /already locked/.test(ended.stderr)
    note(`restic ${words[0]}`, locked ? 'kept out' : `exit ${ended.exitCode}`)
    expect(locked || ended.exitCode === 0, ended.stderr).toBe(true)
  }

  it(`nobody takes away what another needs (HOLDFAST_SEED=${seed})`, {
    timeout: 3_600_000,
  }, async () => {
    for (let round = 0; round < rounds; round++) {
      // Read by both at once: it must not change under them.
      change(4)
      const parent = scene.plane.receipts.at(-1)?.snapshot
      const forget = ['forget', '--keep-last', '2', '--group-by', 'paths']
      await Promise.all([
        ours('backup', parent),
        ours('prune', undefined),
        theirs('backup', '--no-cache', source),
        theirs(...(seeded.oneIn(2) ? ['prune'] : [...forget, '--prune'])),
      ])
      await scene.restic.check({ readData: round % 5 === 0 })
      scene.plane.deleteConfirmed()
      await scene.restic.check({ readData: false })
    }
    // Each once more, alone: what all the pruning left is a good base for both.
    change(3)
    const mine = await runMover(scene.host, scene.plane, [
      backupOf('v', source, { parent: scene.plane.receipts.at(-1)!.snapshot }),
    ])
    expect(mine.done).toMatchObject([{ outcome: 'succeeded' }])
    const made = [
      { id: scene.plane.receipts.at(-1)!.snapshot, at: 'volumes/v' },
      { id: await scene.restic.backup([source]), at: source },
    ]
    const last = await runMover(scene.host, scene.plane, [pruneOf()])
    expect(last.done).toMatchObject([{ outcome: 'succeeded' }])
    await scene.restic.check()
    for (const { id, at } of made) {
      const target = scene.make(`target ${id}`)
      await scene.restic.restore(id, target)
      const { differences } = compareTrees(source, join(target, at), {
        ignore: ['allocation-grew'],
      })
      expect(differences).toEqual([])
    }
    for (const name of ['backup: succeeded completed', 'prune: succeeded completed']) {
      expect(outcomes[name] ?? 0).toBeGreaterThan(0)
    }
  })
})
