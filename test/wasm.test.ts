import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { searchRound } from '../agent/repository/find-cut.ts'
import { findCutModule, lanes, stretch } from '../infra/wasm/find-cut.ts'
import { projectRoot } from './rig/machine.ts'

test('the WebAssembly that is checked in is what its source gives', () => {
  const checkedIn = readFileSync(join(projectRoot, 'agent/repository/find-cut.wasm'))
  expect(Buffer.from(findCutModule()).equals(checkedIn)).toBe(true)
  expect(searchRound).toBe(lanes * stretch)
})
