// One interleaving after the other, from repositories with a history of their own.
import { createSeeded } from '../support/seeded.ts'
import type { Ground } from './host.ts'
import { Interleaving, type Past, type Seen } from './interleaving.ts'
import { allRules, emptyState, type Rules } from './model-plane.ts'

/** Repositories with a history of their own, made by backups and prunes one after the other. */
export async function makePasts(ground: Ground, count: number, seed: string): Promise<Past[]> {
  const pasts: Past[] = []
  for (let i = 0; i < count; i++) {
    const state = emptyState()
    state.objects.set('config', ground.config)
    const empty: Past = { state, versionOf: new Map(), indexes: new Map() }
    const one = new Interleaving(ground, empty, `${seed} past ${i}`, allRules, {})
    one.wild = false
    try {
      for (let step = one.seeded.between(2, 5); step > 0; step--) {
        one.backup()
        await one.run()
        const kept = one.kept()
        if (kept.length > 1 && one.seeded.oneIn(2)) one.plane.forget(one.seeded.pick(kept))
        if (one.seeded.oneIn(4)) {
          one.prune()
          await one.run()
        }
      }
      const versionOf = new Map(
        [...one.plane.state.snapshots].map((id) => [id, one.versionOfKnown(id)]),
      )
      pasts.push({ state: one.plane.state, versionOf, indexes: new Map() })
    } finally {
      one.close()
    }
  }
  return pasts
}

/** One interleaving; rejects with its seed and its steps where anything came to harm. */
export async function interleave(
  ground: Ground,
  pasts: readonly Past[],
  seed: string,
  seen: Seen,
  rules: Rules = allRules,
): Promise<void> {
  const past = pasts[createSeeded(seed).between(0, pasts.length - 1)]!
  const one = new Interleaving(ground, past, seed, rules, seen)
  try {
    const kept = one.kept()
    if (kept.length > 1) one.plane.forget(one.seeded.pick(kept))
    one.backup()
    one.backup()
    one.prune()
    one.restore()
    const foreign = one.seeded.oneIn(3)
    if (foreign) one.foreign()
    await one.run()
    if (!foreign) await one.restoreAll()
    // Whatever was left behind: the next ones work, and tidy up.
    one.wild = false
    if (foreign || one.seeded.oneIn(4)) {
      for (const next of ['prune', 'backup', 'prune'] as const) {
        const before = one.ends.length
        one[next]()
        await one.run()
        const failed = one.ends.slice(before).filter((end) => end.includes('failed'))
        if (failed.length > 0) throw new Error(`after all was over: ${failed.join('; ')}`)
      }
      await one.restoreAll()
    }
    seen.accepted = (seen.accepted ?? 0) + one.plane.accepted
    seen.retired = (seen.retired ?? 0) + one.plane.retired
    seen.deleted = (seen.deleted ?? 0) + one.plane.deleted
    seen.steps = (seen.steps ?? 0) + one.turns.log.length
    for (const [name, n] of Object.entries(one.plane.refusals)) seen[name] = (seen[name] ?? 0) + n
  } catch (error) {
    const steps = one.turns.log.slice(-150).join('\n')
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${one.ends.join('\n')}\n${steps}`, {
      cause: error,
    })
  } finally {
    one.close()
  }
}
