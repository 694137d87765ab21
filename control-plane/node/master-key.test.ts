import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { masterKeyFile } from './master-key.ts'

let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'holdfast-key-'))
})
afterEach(() => rmSync(data, { recursive: true, force: true }))

describe('the master key beside the database', () => {
  it('is made on the first start, for its owner alone, and is the same ever after', async () => {
    const [made] = await masterKeyFile(data, join(data, 'db'))
    expect(made).toHaveLength(32)
    expect(statSync(join(data, 'master.key')).mode & 0o777).toBe(0o600)
    expect(await masterKeyFile(data, join(data, 'db'))).toEqual([made])
  })

  it('is never made anew where a database waits for the old one', async () => {
    writeFileSync(join(data, 'db'), '')
    await expect(masterKeyFile(data, join(data, 'db'))).rejects.toThrow(
      /master\.key: is missing, but .*db is there/,
    )
  })

  it('that is damaged is refused without being shown', async () => {
    writeFileSync(join(data, 'master.key'), 'c2hvcnQ=')
    const refused = masterKeyFile(data, join(data, 'db'))
    await expect(refused).rejects.toThrow(/master\.key: must hold keys of 32 bytes in base64$/)
    expect(readFileSync(join(data, 'master.key'), 'utf8')).toBe('c2hvcnQ=')
  })
})
