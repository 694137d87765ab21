import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { idOf } from '../repository/id.ts'
import { createSmallCache, type SmallCache } from './small-cache.ts'
import { systemChance } from './system-clock.ts'

let folder: string
let cache: SmallCache
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-small-cache-'))
  cache = createSmallCache(join(folder, 'cache'), systemChance)
})
afterEach(() => rmSync(folder, { recursive: true }))

const bytes = Buffer.from('a sealed snapshot')
const id = idOf(bytes)

it('gives back what was added, readable by the owner alone', async () => {
  expect(await cache.read('snapshots', id)).toBeUndefined()
  await cache.add('snapshots', id, bytes)
  await cache.add('snapshots', id, bytes)
  expect(await cache.read('snapshots', id)).toEqual(bytes)
  expect(statSync(join(folder, 'cache/snapshots', id)).mode & 0o777).toBe(0o600)
  expect(readdirSync(join(folder, 'cache/snapshots'))).toEqual([id])
})

it('takes a damaged object for an absent one', async () => {
  await cache.add('keys', id, bytes)
  writeFileSync(join(folder, 'cache/keys', id), 'torn')
  expect(await cache.read('keys', id)).toBeUndefined()
})

it('asks for nothing by a name that is no id', async () => {
  expect(await cache.read('snapshots', '../config')).toBeUndefined()
})

it('replaces a file of its own', async () => {
  expect(await cache.readFile('config')).toBeUndefined()
  await cache.writeFile('config', Buffer.from('one'))
  await cache.writeFile('config', Buffer.from('two'))
  expect((await cache.readFile('config'))?.toString()).toBe('two')
})
