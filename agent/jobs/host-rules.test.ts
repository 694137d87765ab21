import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isReallyWithin } from './host-rules.ts'

let folder: string
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-rules-')))
  for (const name of ['allowed/below', 'secret']) {
    mkdirSync(join(folder, name), { recursive: true })
  }
  symlinkSync(join(folder, 'secret'), join(folder, 'allowed/out'))
  symlinkSync('below', join(folder, 'allowed/in'))
  symlinkSync('allowed', join(folder, 'named'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('a directory that the host allows', () => {
  it('allows itself and what lies below, there or not yet', () => {
    const allowed = [join(folder, 'allowed')]
    for (const path of ['allowed', 'allowed/below', 'allowed/new/newer', 'allowed/in/new']) {
      expect(isReallyWithin(join(folder, path), allowed), path).toBe(true)
    }
    expect(isReallyWithin(join(folder, 'secret'), allowed)).toBe(false)
    expect(isReallyWithin('/anywhere', ['/'])).toBe(true)
    expect(isReallyWithin('/anywhere', [])).toBe(false)
  })

  it('does not allow what a symlink in it leads to', () => {
    const allowed = [join(folder, 'allowed')]
    for (const path of ['allowed/out', 'allowed/out/new/newer']) {
      expect(isReallyWithin(join(folder, path), allowed), path).toBe(false)
    }
  })

  it('may be a symlink itself', () => {
    expect(isReallyWithin(join(folder, 'named/below'), [join(folder, 'named')])).toBe(true)
  })
})
