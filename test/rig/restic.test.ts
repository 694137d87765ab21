import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { useRestic, useRgw } from './parts.ts'
import { createRestic } from './restic.ts'

const restic = await useRestic()
const rgw = await useRgw()
const folder = mkdtempSync(join(tmpdir(), 'holdfast-judge-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.skipIf(restic.missing)('stock restic', () => {
  const source = join(folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, 'file'), 'kept')

  test('backs up, lists, checks and restores a folder', async () => {
    const judge = createRestic({ repository: join(folder, 'repository'), password: 'secret' })
    try {
      await judge.init()
      const id = await judge.backup([source], '--tag', 'one')
      expect(await judge.snapshots()).toMatchObject([{ id, paths: [source], tags: ['one'] }])
      expect(await judge.list('snapshots')).toEqual([id])
      await judge.check()
      await judge.restore(id, join(folder, 'target'))
      expect(readFileSync(join(folder, 'target', source, 'file'), 'utf8')).toBe('kept')
    } finally {
      judge.close()
    }
  })

  test('says what is wrong with a spoilt repository and with a wrong password', async () => {
    const repository = join(folder, 'spoilt')
    const judge = createRestic({ repository, password: 'secret' })
    const stranger = createRestic({ repository, password: 'guess' })
    try {
      await judge.init()
      await judge.backup([source])
      await expect(stranger.check()).rejects.toThrow(/wrong password|no key found/)
      const [index] = await judge.list('index')
      rmSync(join(repository, 'index', index as string))
      await expect(judge.check()).rejects.toThrow(/ended with 1/)
    } finally {
      judge.close()
      stranger.close()
    }
  })

  test.skipIf(rgw.missing)('works on the gateway', async () => {
    const bucket = await rgw.makeBucket('restic')
    const judge = createRestic({
      repository: `s3:${rgw.endpoint}/${bucket}/some/prefix`,
      password: 'secret',
      environment: {
        AWS_ACCESS_KEY_ID: rgw.accessKeyId,
        AWS_SECRET_ACCESS_KEY: rgw.secretAccessKey,
      },
    })
    try {
      await judge.init()
      await judge.backup([source])
      await judge.check()
    } finally {
      judge.close()
      await rgw.removeBucket(bucket)
    }
  })
})
