import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { importsOf } from './boundaries/imports.ts'
import {
  circle,
  clockViolations,
  importViolations,
  lengthViolations,
  machinePathViolations,
  roomOf,
} from './boundaries/rules.ts'
import { clockworks, table } from './boundaries/table.ts'
import { projectRoot } from './rig/machine.ts'

const sources = new Map(
  globSync('{shared,control-plane,agent,test,infra}/**/*.{ts,mts,mjs,tsx}', { cwd: projectRoot })
    .map((path) => path.replaceAll('\\', '/'))
    .map((path) => [path, readFileSync(join(projectRoot, path), 'utf8')] as const),
)
/** Without this file, whose offenders are only quoted, and without the scripts that run before any room. */
const rooms = new Map(
  [...sources].filter(([path]) => path !== 'test/boundaries.test.ts' && !path.startsWith('infra/')),
)
const one = (path: string, source: string) => new Map([[path, source]])

describe('the sources', () => {
  test('are found', () => {
    expect(rooms.size).toBeGreaterThan(50)
  })

  test('import only what their room may', () => {
    expect(importViolations(rooms)).toEqual([])
  })

  test('take time and randomness from outside where a run must be replayable', () => {
    expect(clockViolations(rooms)).toEqual([])
  })

  test('are short, or say why not', () => {
    expect(lengthViolations(sources)).toEqual([])
  })

  test('name no path of one machine', () => {
    expect(machinePathViolations(sources)).toEqual([])
  })

  test('are all there that the list of exceptions names', () => {
    expect(Object.keys(clockworks).filter((path) => !sources.has(path))).toEqual([])
  })
})

describe('the table', () => {
  test('has no circle', () => {
    expect(circle(table)).toBeUndefined()
  })

  test('would be caught with one', () => {
    const room = { types: [], packages: [], node: true, because: '' }
    const looped = {
      a: { ...room, rooms: ['b'] },
      b: { ...room, rooms: ['c'] },
      'c/d': { ...room, rooms: [], types: ['a'] },
    }
    expect(circle(looped)).toEqual(['a', 'b', 'c/d', 'a'])
  })

  test('gives a file to the closest room', () => {
    expect(roomOf('shared/policy/schedule.ts')).toBe('shared/policy')
    expect(roomOf('shared/errors.ts')).toBe('shared')
    expect(roomOf('agent/main.ts')).toBe('agent/main.ts')
    expect(roomOf('agent/mainframe.ts')).toBeUndefined()
  })
})

describe('an offender is caught', () => {
  test.each([
    [
      'agent/mover/a.ts',
      "import { x } from '../control/session.ts'",
      'agent/mover may not import agent/control',
    ],
    [
      'agent/mover/a.ts',
      "const x = await import('../control/session.ts')",
      'may not import agent/control',
    ],
    ['agent/mover/a.ts', "import '../control/session.ts'", 'may not import agent/control'],
    ['agent/mover/a.ts', "export * from '../control/session.ts'", 'may not import agent/control'],
    [
      'agent/mover/a.ts',
      "import {\n  x,\n  type Y,\n} from '../control/session.ts'",
      'agent/control',
    ],
    ['agent/repository/a.ts', "import { z } from 'zod'", 'may not use the package zod'],
    [
      'agent/repository/a.ts',
      "import type { Job } from '../../shared/backup/job.ts'",
      'may not import shared',
    ],
    [
      'agent/sources/a.ts',
      "import { x } from '../repository/tree.ts'",
      'only types from agent/repository',
    ],
    ['shared/a.ts', "import { readFileSync } from 'node:fs'", "may not use Node's modules"],
    ['shared/a.ts', "import { Cron } from 'croner'", 'may not use the package croner'],
    [
      'control-plane/cli/a.ts',
      "import { app } from '../http/app.ts'",
      'only types from control-plane/http',
    ],
    ['control-plane/adapters/s3/a.ts', "import { x } from '../libsql/b.ts'", 'may not import'],
    [
      'control-plane/core/a.ts',
      "import { x } from '@aws-sdk/client-s3/y'",
      'package @aws-sdk/client-s3',
    ],
    [
      'control-plane/core/a.ts',
      "import { x } from '../../test/rig/dockerd.ts'",
      'may not import test',
    ],
    ['control-plane/core/a.test.ts', "import { x } from '../http/app.ts'", 'may not import'],
    ['agent/newroom/a.ts', '', 'lies in no room'],
    ['agent/native/a.ts', "import x from '/opt/x.ts'", 'a path of this machine'],
  ])('%s: %s', (path, source, complaint) => {
    const [sentence, ...more] = importViolations(one(path, source))
    expect(more).toEqual([])
    expect(sentence).toContain(complaint)
    expect(sentence).toContain(path)
  })

  test('and gets to read the reason', () => {
    expect(importViolations(one('agent/mover/a.ts', "import '../control/session.ts'"))).toEqual([
      "agent/mover/a.ts imports '../control/session.ts': agent/mover may not import agent/control, " +
        'because the child has no socket and no token: never agent/control',
    ])
  })

  test('who looks at the clock or throws dice', () => {
    for (const use of [
      'Date.now()',
      'new Date()',
      'Math.random()',
      'setTimeout(f, 1)',
      'randomBytes(8)',
    ])
      expect(clockViolations(one('control-plane/core/a.ts', `const x = ${use}`))).toHaveLength(1)
    expect(clockViolations(one('agent/control/a.ts', 'Date.now()'))).toEqual([])
    expect(clockViolations(one('shared/a.ts', '// never Date.now() here\nnew Date(at)'))).toEqual(
      [],
    )
  })

  test('who writes too long a file without a reason', () => {
    const long = 'a\n'.repeat(401)
    expect(lengthViolations(one('shared/a.ts', long))).toHaveLength(1)
    expect(lengthViolations(one('shared/a.ts', `// Long because: one table\n${long}`))).toEqual([])
  })

  test('who names a path of one machine', () => {
    expect(machinePathViolations(one('agent/a.ts', "open('/home/me/x')"))).toHaveLength(1)
    expect(machinePathViolations(one('agent/a.ts', "open('/var/lib/x')"))).toEqual([])
  })
})

describe('an honest file passes', () => {
  test.each([
    ['agent/sources/a.ts', "import type { Node } from '../repository/tree.ts'"],
    ['control-plane/cli/a.ts', "import type { App } from '../http/app.ts'"],
    ['control-plane/node/a.ts', "import { x } from '../adapters/libsql/store.ts'"],
    ['shared/a.test.ts', "import { test } from 'vitest'\nimport fs from 'node:fs'"],
    ['agent/docker/a.test.ts', "import { useDocker } from '../../test/rig/parts.ts'"],
    ['shared/a.ts', "// import { x } from '../agent/x.ts'\nexport type From = 'a' | 'b'"],
    ['shared/a.ts', "export const x = 'y'\nexport type X = { from: 'agent' }"],
  ])('%s: %s', (path, source) => {
    expect(importViolations(one(path, source))).toEqual([])
  })

  test('and type imports are told from the others', () => {
    expect(
      importsOf("import type from 'a'\nimport type { B } from 'b'\nlet c: typeof import('c')"),
    ).toEqual([
      { specifier: 'a', typeOnly: false },
      { specifier: 'b', typeOnly: true },
      { specifier: 'c', typeOnly: true },
    ])
  })
})
