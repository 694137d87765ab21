// Many interleavings from one seed, and whether what they are about happened at all.
import { expect } from 'vitest'
import { makeGround } from './host.ts'
import { interleave, makePasts } from './interleave.ts'
import type { Seen } from './interleaving.ts'
import { allRules, type Rules } from './model-plane.ts'

/** Repositories that interleavings begin with. */
const pasts = 6

/** Rejects with the seed of the first interleaving in which anything came to harm. */
export async function prove(count: number, seed: string, rules: Rules = allRules): Promise<Seen> {
  const ground = await makeGround()
  try {
    const history = await makePasts(ground, pasts, 'history')
    const seen: Seen = {}
    for (let i = 0; i < count; i++) await interleave(ground, history, `${seed} ${i}`, seen, rules)
    return seen
  } finally {
    ground.close()
  }
}

/** A proof over things that never happen proves nothing. */
export function expectSeen(seen: Seen, names: readonly string[]): void {
  for (const name of names) expect(seen[name] ?? 0, `${name} was never seen`).toBeGreaterThan(0)
}
