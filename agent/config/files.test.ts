import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jobKinds } from '../../shared/backup/job.ts'
import { readEnrolment, readHostRules } from './files.ts'

const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'
const OTHER = 'age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg'
let folder: string
let path: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
  path = join(folder, 'file')
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('readHostRules', () => {
  it('allows nothing that changes or reads what is there without a file, and keeps the pinned recipient', async () => {
    expect(await readHostRules(join(folder, 'absent'), RECIPIENT)).toEqual({
      recovery: RECIPIENT,
      allow: undefined,
      directories: [],
      restoreDirectories: [],
      inPlace: false,
      browseFiles: false,
      limits: {},
    })
  })

  it("lets the operator's file alone change the pinned recipient", async () => {
    const text = `recovery: ${OTHER}\nallow: [backup, init]\ndirectories: [/srv]\nrestoreDirectories: [/]\ninPlace: true\nlimits: { upload: 10M, nice: 19 }\n`
    writeFileSync(path, text)
    expect(await readHostRules(path, RECIPIENT)).toEqual({
      recovery: OTHER,
      allow: ['backup', 'init'],
      directories: ['/srv'],
      restoreDirectories: ['/'],
      inPlace: true,
      browseFiles: false,
      limits: { upload: 10_485_760, nice: 19 },
    })
  })

  it.each([
    ['recovery: age1short', 'recovery: "age1short": must be an age X25519 recipient (age1…)'],
    [
      'allow: [drill]',
      'allow.0: "drill": Invalid option: expected one of "init"|"backup"|"verify"|"restore"|"browse"',
    ],
    ['directories: /srv', 'directories: "/srv": Invalid input: expected array, received string'],
    [
      'directories: [/srv/../etc]',
      'directories.0: "/srv/../etc": must be an absolute path without empty, "." or ".." parts',
    ],
    [
      'restoreDirectories: [srv]',
      'restoreDirectories.0: "srv": must be an absolute path without empty, "." or ".." parts',
    ],
    [
      'limits: { upload: fast }',
      'limits.upload: "fast": must be a size such as 512K, 10M or 1.5G, and at least 1K',
    ],
    ['hooks: []', 'Unrecognized key: "hooks"'],
    ['allow: [backup', 'Flow sequence in block collection'],
  ])('says what is wrong with "%s": file, field, value and rule', async (text, expected) => {
    writeFileSync(path, text)
    const failed = readHostRules(path, undefined)
    await expect(failed).rejects.toThrow(expected)
    await expect(failed).rejects.toThrow(path)
    await expect(failed).rejects.toMatchObject({
      hint: `host.yaml may hold recovery (age1…), allow (a list of ${jobKinds.join(', ')}), directories and restoreDirectories (lists of absolute paths), inPlace and browseFiles (true or false), and limits (workers, nice, io, memory, upload, download, jobsAtOnce)`,
    })
  })
})

describe('readEnrolment', () => {
  it('tells a host that is not enrolled from one whose file is damaged', () => {
    expect(readEnrolment(join(folder, 'absent'))).toBeUndefined()
    writeFileSync(path, '{"url":')
    expect(() => readEnrolment(path)).toThrow(`${path}: is not JSON`)
    writeFileSync(path, '{"url":"https://a.example","host":"x"}')
    expect(() => readEnrolment(path)).toThrow(`${path}: host: "x": must be a UUID`)
  })
})
