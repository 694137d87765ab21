// A vitest reporter that leaves the run's true numbers in a file, for the last line of `npm test`.

import { writeFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

export interface Totals {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Every skipped test by file and name, with its reason where one was given. */
  readonly skippedNames: readonly string[]
  /** Test files that did not even load, and errors outside any test: counted in `failed`, one each. */
  readonly broken: number
  /** How vitest ended: a run that was interrupted is not a result. */
  readonly reason: 'passed' | 'failed' | 'interrupted'
}

export default class TotalsReporter implements Reporter {
  onTestRunEnd(
    modules: ReadonlyArray<TestModule>,
    errors: ReadonlyArray<unknown>,
    reason: Totals['reason'],
  ): void {
    const path = process.env.HOLDFAST_TOTALS
    if (!path) return
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 }
    const skippedNames: string[] = []
    let broken = errors.length
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const result = test.result()
        count[result.state]++
        if (result.state !== 'skipped' && result.state !== 'pending') continue
        const note = result.state === 'skipped' && result.note ? `: ${result.note}` : ''
        skippedNames.push(`${module.relativeModuleId} > ${test.fullName}${note}`)
      }
      // A failing import, or a failing beforeAll whose tests are then reported as skipped or not at all.
      const failedTests = [...module.children.allTests('failed')].length
      if (module.state() === 'failed' && failedTests === 0) broken++
    }
    const totals: Totals = {
      passed: count.passed,
      failed: count.failed + broken,
      skipped: count.skipped + count.pending,
      skippedNames,
      broken,
      reason,
    }
    writeFileSync(path, JSON.stringify(totals))
  }
}
