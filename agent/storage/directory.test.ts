import { createHash, randomBytes } from 'node:crypto'
import { lstatSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createDirectories, createDirectoryStore } from './directory.ts'

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

describe('a repository directory', () => {
  let directory: string
  const options = () => ({ directory, temporaryName: () => randomBytes(8).toString('hex') })
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-directory-'))
    await createDirectories(options())
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  test('has the folders that stock restic expects, closed to others', () => {
    expect(readdirSync(directory).sort()).toEqual(['data', 'index', 'keys', 'locks', 'snapshots'])
    expect(readdirSync(join(directory, 'data')).length).toBe(256)
    expect(lstatSync(join(directory, 'data', 'ff')).mode & 0o777).toBe(0o700)
  })

  test('may be made again over what is there', async () => {
    const store = createDirectoryStore(options())
    const bytes = Buffer.from('kept')
    await store.put('config', sha256(bytes), bytes)
    await createDirectories(options())
    expect(Buffer.from(await store.get('config')).toString()).toBe('kept')
  })

  test('holds files that nobody may write, and no half of one', async () => {
    const bytes = randomBytes(5000)
    const id = sha256(bytes)
    await createDirectoryStore(options()).put(`index/${id}`, id, bytes)
    expect(lstatSync(join(directory, 'index', id)).mode & 0o777).toBe(0o400)
    expect(readdirSync(join(directory, 'index'))).toEqual([id])
    const shared = createDirectoryStore({ ...options(), fileMode: 0o440 })
    await shared.put(`locks/${id}`, id, bytes)
    expect(lstatSync(join(directory, 'locks', id)).mode & 0o777).toBe(0o440)
  })

  test('refuses keys and prefixes that lead anywhere else', async () => {
    const store = createDirectoryStore(options())
    const id = 'ab'.repeat(32)
    const bad = [
      '',
      '/',
      '../x',
      `data/../../${id}`,
      `data/cd/${id}`,
      `index/${id}/x`,
      'index/short',
      `keys/${id.toUpperCase()}`,
      `data/ab/${id}\0`,
      `./config`,
      'config/',
    ]
    for (const key of bad) {
      await expect(store.get(key), key).rejects.toMatchObject({ code: 'denied' })
      await expect(store.put(key, id, Buffer.alloc(0)), key).rejects.toMatchObject({
        code: 'denied',
      })
      await expect(store.remove(key), key).rejects.toMatchObject({ code: 'denied' })
    }
    for (const prefix of ['..', '../', '/', 'data/../', 'etc/']) {
      await expect(store.list(prefix)[Symbol.asyncIterator]().next()).rejects.toMatchObject({
        code: 'denied',
      })
    }
  })

  test('ignores what is no object: strays, cut-short uploads, links, folders', async () => {
    const store = createDirectoryStore(options())
    const id = 'ab'.repeat(32)
    writeFileSync(join(directory, 'index', `${id}-tmp-0011`), 'half')
    writeFileSync(join(directory, 'index', 'README'), 'x')
    symlinkSync('/etc/hostname', join(directory, 'locks', id))
    const listed = []
    for await (const object of store.list('')) listed.push(object)
    expect(listed).toEqual([])
    expect(await store.head(`locks/${id}`)).toBeUndefined()
    await expect(store.get(`locks/${id}`)).rejects.toMatchObject({ name: 'StorageError' })
  })
})
