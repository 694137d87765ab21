import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { projectRoot } from './rig/machine.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-setup-'))
  cpSync(join(projectRoot, 'infra/setup'), join(root, 'infra/setup'), { recursive: true })
  writeLock('package-lock.json', locked)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

type Packages = Record<string, { version: string; integrity: string; optional?: boolean }>
const locked: Packages = {
  'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
  'node_modules/other-platform': { version: '2.0.0', integrity: 'sha512-o', optional: true },
}
const { 'node_modules/other-platform': _, ...installed } = locked

function writeLock(path: string, packages: Packages): void {
  const all = { '': { name: 'holdfast' }, ...packages }
  writeFileSync(join(root, path), JSON.stringify({ lockfileVersion: 3, packages: all }))
}

/** node_modules as npm leaves it; `version` is what its Node says. */
function writeModules(packages: Packages, version = 'v24.21.0'): void {
  mkdirSync(join(root, 'node_modules/.bin'), { recursive: true })
  writeLock('node_modules/.package-lock.json', packages)
  // A Node of that version, as far as anyone asks; otherwise the one that runs this test.
  const script = `#!/bin/sh\n[ "$1" = --version ] && echo ${version} && exit\nexec '${process.execPath}' "$@"\n`
  writeFileSync(join(root, 'node_modules/.bin/node'), script)
  chmodSync(join(root, 'node_modules/.bin/node'), 0o755)
}

/** Runs the script; `npm` is the body of a script that stands for npm. */
function prepare(npm = 'throw new Error("npm was called")') {
  const stub = join(root, 'npm-cli.js')
  writeFileSync(stub, npm)
  const env = { ...process.env, npm_execpath: stub, npm_node_execpath: process.execPath }
  const script = join(root, 'infra/setup/modules.mjs')
  const ended = spawnSync(process.execPath, [script], { encoding: 'utf8', env })
  return { status: ended.status, stdout: ended.stdout, said: ended.stderr }
}

const makesModules = `
  const { cpSync } = require('node:fs')
  console.log('npm', process.argv.slice(2).join(' '))
  cpSync('made-by-npm', 'node_modules', { recursive: true })
`
function prepareNpm(): void {
  writeModules(installed)
  cpSync(join(root, 'node_modules'), join(root, 'made-by-npm'), { recursive: true })
  rmSync(join(root, 'node_modules'), { recursive: true })
}

describe('the setup script', () => {
  test('says nothing when all is there, packages of other platforms aside', () => {
    writeModules(installed)
    expect(prepare()).toEqual({ status: 0, stdout: '', said: '' })
  })

  test('runs npm ci, developers’ and optional packages included, when node_modules is missing', () => {
    prepareNpm()
    const first = prepare(makesModules)
    expect(first).toMatchObject({ status: 0, stdout: '' })
    expect(first.said).toContain('node_modules is missing, running npm ci')
    expect(first.said).toContain('npm ci --include=dev --include=optional')
    expect(prepare()).toEqual({ status: 0, stdout: '', said: '' })
  })

  test.each<[string, Packages | undefined, string]>([
    ['was interrupted', undefined, 'node_modules is unfinished'],
    ['lacks a package', {}, 'node_modules/a is missing'],
    [
      'has another version',
      { 'node_modules/a': { version: '0.9.0', integrity: 'sha512-a' } },
      'node_modules/a is not the version of package-lock.json',
    ],
    [
      'has a package too many',
      { ...installed, 'node_modules/b': { version: '1.0.0', integrity: 'sha512-b' } },
      'node_modules/b is no longer in package-lock.json',
    ],
  ])('runs npm ci and says why when the last installation %s', (_case, packages, why) => {
    prepareNpm()
    if (packages === undefined) mkdirSync(join(root, 'node_modules'))
    else writeModules(packages)
    const { status, said } = prepare(makesModules)
    expect(status).toBe(0)
    expect(said).toContain(`${why}, running npm ci`)
  })

  test.each([
    ['npm error code ENOTFOUND', 'the package registry could not be reached'],
    ['npm error code EUSAGE', 'package.json and package-lock.json disagree'],
    ['npm error code ENOSPC', 'the disk is full'],
    ['npm error code EINTEGRITY', 'npm cache clean'],
    ['something new', 'see what npm wrote above'],
  ])('passes on what npm complained of and says what to do: %s', (complaint, remedy) => {
    const { status, said } = prepare(`console.error(${JSON.stringify(complaint)}); process.exit(1)`)
    expect(status).toBe(1)
    expect(said).toContain(complaint)
    expect(said).toContain(`npm ci failed (exit 1); `)
    expect(said).toContain(remedy)
  })

  test('refuses a Node that cannot run TypeScript', () => {
    writeModules(installed, 'v22.3.0')
    const { status, said } = prepare()
    expect(status).toBe(1)
    expect(said).toContain('node_modules/.bin/node is v22.3.0 and Node 24 is needed')
  })
})

describe('a launcher', () => {
  test.each([
    ['holdfast', 'control-plane/cli/main.ts'],
    ['holdfast-agent', 'agent/main.ts'],
  ])(
    '%s finds its project through links, from anywhere, and passes every argument on',
    (name, main) => {
      writeModules(installed)
      cpSync(join(projectRoot, 'bin'), join(root, 'bin'), { recursive: true })
      mkdirSync(join(root, main, '..'), { recursive: true })
      writeFileSync(join(root, 'package.json'), '{"type":"module"}')
      writeFileSync(
        join(root, main),
        'console.log(JSON.stringify(process.argv.slice(2) as string[])); process.exitCode = 3',
      )
      mkdirSync(join(root, 'usr bin'))
      symlinkSync(join(root, 'bin', name), join(root, 'usr bin', 'first'))
      symlinkSync('first', join(root, 'usr bin', 'second'))
      const words = ['backup', 'a b', '', '--json', '*']
      const ended = spawnSync(join(root, 'usr bin', 'second'), words, {
        cwd: '/',
        encoding: 'utf8',
      })
      expect(ended.stderr).toBe('')
      expect(JSON.parse(ended.stdout)).toEqual(words)
      expect(ended.status).toBe(3)
    },
  )
})
