// What every vault must do and refuse, whoever serves it: the port's contract and the attack list.
// One suite for all implementations; a case may be skipped only with a written reason.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { VaultSubject } from '../../control-plane/ports/vault-subject.ts'
import { createBench } from './bench.ts'
import { describeGrants } from './grants.ts'
import { describeHeaderAttacks } from './header-attacks.ts'
import { describeOwnCalls } from './own-calls.ts'
import { describePutAttacks } from './put-attacks.ts'
import { describeReadAttacks } from './read-attacks.ts'

export interface ConformanceRun {
  readonly subject: VaultSubject
  stop(): Promise<void>
}

/**
 * Runs the suite on what `start` makes. `skips` names cases (by their title) that this implementation
 * cannot pass, each with the reason; a title that no case has fails the run.
 */
export function describeObjects(
  name: string,
  start: () => Promise<ConformanceRun>,
  skips: Readonly<Record<string, string>> = {},
): void {
  const met = new Set<string>()
  const test = (title: string, run: () => Promise<void>) => {
    met.add(title)
    const reason = skips[title]
    if (reason === undefined) it(title, run)
    else it.skip(`${title} (skipped: ${reason})`, run)
  }

  describe(`the vault contract, ${name}`, () => {
    let run: ConformanceRun
    beforeAll(async () => {
      run = await start()
    })
    afterAll(async () => {
      await run.stop()
      expect(Object.keys(skips).filter((title) => !met.has(title))).toEqual([])
    })
    const bench = createBench(test, () => run.subject)
    describeGrants(bench)
    describePutAttacks(bench)
    describeHeaderAttacks(bench)
    describeReadAttacks(bench)
    describeOwnCalls(bench)
  })
}
