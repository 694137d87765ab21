// `npm run check`: types in every compiler scope, lint and format, and the arrows between rooms. Seconds, no machine
// setup: what a person runs before each commit.

import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { projectRoot } from './rig/machine.ts'

interface Step {
  readonly name: string
  /** A script of a package in node_modules, and its arguments. */
  readonly words: readonly string[]
}

interface Ended extends Step {
  readonly passed: boolean
  readonly seconds: number
  readonly output: string
}

const bin = (name: string) => join(projectRoot, 'node_modules', '.bin', name)

/** Every folder with a tsconfig.json is a scope of its own: what its code may see of the runtime differs. */
const scopes = globSync('**/tsconfig.json', {
  cwd: projectRoot,
  exclude: (path) => path === 'node_modules' || path === '.cache',
}).sort()

const steps: Step[] = [
  {
    name: 'boundaries',
    words: [bin('vitest'), 'run', '--reporter=dot', 'test/boundaries.test.ts'],
  },
  { name: 'lint and format', words: [bin('biome'), 'check', '--colors=off', '.'] },
  ...scopes.map((path) => ({ name: `types in ${path}`, words: [bin('tsc'), '--project', path] })),
]

const waiting = [...steps]
const ended: Ended[] = []
async function work(): Promise<void> {
  for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
    const result = await run(step)
    ended.push(result)
    console.log(
      `${result.passed ? 'ok  ' : 'FAIL'}  ${result.name}  ${result.seconds.toFixed(1)} s`,
    )
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work))

const failed = ended.filter(({ passed }) => !passed)
for (const { name, output } of failed) console.log(`\n──── ${name}\n${output.trimEnd()}`)
if (failed.length > 0) console.log(`\n${failed.length} of ${steps.length} checks failed`)
process.exitCode = failed.length > 0 ? 1 : 0

function run(step: Step): Promise<Ended> {
  const began = performance.now()
  return new Promise((resolve) => {
    const [program, ...words] = step.words as [string, ...string[]]
    const child = spawn(program, words, {
      cwd: projectRoot,
      env: { ...process.env, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.stderr.on('data', (chunk) => {
      output += chunk
    })
    const done = (passed: boolean) =>
      resolve({ ...step, passed, output, seconds: (performance.now() - began) / 1000 })
    child.on('error', (error) => {
      output += error.message
      done(false)
    })
    child.on('close', (code) => done(code === 0))
  })
}
