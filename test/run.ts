// `npm test`: prepares this machine, runs the tests, and leaves nothing running.
//
//   npm test                          everything that takes seconds
//   npm run test:all                  the long proofs too
//   npm run test:all -- --part 2/3    the second third of the files
//   npm test -- control-plane/core    only files whose path contains these words; other words go to vitest as well

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArguments } from './rig/arguments.ts'
import { noTraces, remember, sweep } from './rig/leftovers.ts'
import { cacheDirectory, isDebianAsRoot, projectRoot } from './rig/machine.ts'
import { ensurePrograms, everyProgram } from './rig/packages.ts'
import type { Totals } from './rig/totals.ts'

/** After a signal vitest gets this long to stop what it started, in seconds; then it is killed and we clear up. */
const farewell = 40

const say = (sentence: string) => console.error(`test: ${sentence}`)

const { all, part, rest } = parseArguments(process.argv.slice(2))
const filtered = rest.length > 0

if (isDebianAsRoot() && !filtered) {
  const missing = await ensurePrograms(everyProgram, say)
  // Not the end: the parts that need it will fail by name, and the other tests still tell something.
  if (missing !== undefined) say(missing)
}
await sweep(say)

mkdirSync(cacheDirectory, { recursive: true })
const scratch = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
// Should we be killed, the next run clears this folder away.
const remembered =
  process.platform === 'linux'
    ? remember({ ...noTraces, what: 'temporary files of the tests', folders: [scratch] })
    : undefined
const totalsFile = join(scratch, 'totals.json')
const vitest = join(projectRoot, 'node_modules', 'vitest', 'vitest.mjs')
const words = [
  ['run', '--reporter=default', '--reporter=./test/rig/totals.ts'],
  part === undefined ? [] : [`--shard=${part}`],
  rest,
]
const child = spawn(process.execPath, [vitest, ...words.flat()], {
  cwd: projectRoot,
  env: {
    ...process.env,
    ...(all ? { HOLDFAST_TEST_ALL: '1' } : {}),
    HOLDFAST_TOTALS: totalsFile,
    // A test that is cut short cannot remove its files; here they go with the run.
    TMPDIR: scratch,
  },
  stdio: ['ignore', 'inherit', 'inherit'],
})

let interrupted: NodeJS.Signals | undefined
const interrupt = (signal: NodeJS.Signals) => {
  if (interrupted !== undefined) return
  interrupted = signal
  say(`${signal}: stopping the tests and what they started`)
  child.kill(signal)
  setTimeout(() => child.kill('SIGKILL'), farewell * 1000).unref()
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt)
// npm 11 hands SIGTERM to the shell between itself and us, and the shell dies of it without a word to us.
if (process.env.npm_lifecycle_event !== undefined) {
  const shell = process.ppid
  setInterval(() => process.ppid !== shell && interrupt('SIGTERM'), 500).unref()
}

const exitCode = await new Promise<number>((resolve) => {
  child.on('error', (error) => {
    say(`vitest did not start: ${error.message}`)
    resolve(1)
  })
  child.on('close', (code) => resolve(code ?? 1))
})
await sweep(say)

const totals = readTotals()
rmSync(scratch, { recursive: true, force: true })
await remembered?.clear()
process.exitCode = report(totals)

function readTotals(): Totals | undefined {
  try {
    return JSON.parse(readFileSync(totalsFile, 'utf8'))
  } catch {
    return undefined
  }
}

/** Prints the last line, leaves it for `.ci/run`, and says how to end. */
function report(result: Totals | undefined): number {
  const none: Totals = {
    passed: 0,
    failed: 0,
    skipped: 0,
    skippedNames: [],
    broken: 0,
    reason: 'interrupted',
  }
  const { passed, failed, skipped, skippedNames, broken } = result ?? none
  const line = `${passed} passed, ${failed} failed, ${skipped} skipped`
  writeFileSync(join(cacheDirectory, 'last-test-run'), `${line}\n`)
  // With a filter by name most tests are skipped on purpose.
  if (!filtered) for (const name of skippedNames) say(`skipped: ${name}`)
  if (result === undefined) say('vitest ended without a result')
  if (broken > 0) say(`of the failed, ${broken} are files or hooks rather than tests; see above`)
  const nothing = passed + failed === 0
  if (nothing) say('no test ran')
  console.log(line)
  if (interrupted !== undefined) return 130
  return exitCode !== 0 || failed > 0 || nothing ? exitCode || 1 : 0
}
