import { beforeAll, describe, expect, test } from 'vitest'
import { createMemoryStore, type MemoryStore } from '../storage/memory.ts'
import { idOf, systemRandom } from './id.ts'
import {
  addPassword,
  createRepository,
  openRepository,
  openRepositoryFrom,
  prepareRepository,
  type Repository,
} from './repository.ts'

const about = {
  random: systemRandom,
  clock: { now: () => Date.UTC(2024, 0, 1) },
  hostname: 'db1',
  username: 'root',
}

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'none',
    (error) => error.code,
  )
}

describe('a repository', () => {
  let store: MemoryStore
  let made: Repository
  beforeAll(async () => {
    store = createMemoryStore()
    made = await createRepository({ store, passwords: ['host', 'recovery'], ...about })
  })

  test('opens with each of its passwords to the same keys', async () => {
    const opened = []
    for (const password of ['host', 'recovery'])
      opened.push(await openRepository({ store, password }))
    for (const repository of opened) {
      expect({ ...repository, keyId: undefined }).toEqual(made)
    }
    expect(new Set(opened.map((repository) => repository.keyId)).size).toBe(2)
  })

  test('has a config, a key file per password, and nothing else', () => {
    const keys = [...store.objects.keys()].sort()
    expect(keys.length).toBe(3)
    expect(keys[0]).toBe('config')
    for (const key of keys.slice(1)) expect(key).toBe(`keys/${idOf(store.objects.get(key)!)}`)
  })

  test('refuses a wrong password', async () => {
    expect(await codeOf(openRepository({ store, password: 'Host' }))).toBe('wrong-password')
  })

  test('refuses to be made over what is there', async () => {
    expect(await codeOf(createRepository({ store, passwords: ['x'], ...about }))).toBe(
      'repository-exists',
    )
    for (const key of [`keys/${'ab'.repeat(32)}`, `snapshots/${'ab'.repeat(32)}`]) {
      const other = createMemoryStore()
      other.objects.set(key, Buffer.from('x'))
      expect(await codeOf(createRepository({ store: other, passwords: ['x'], ...about }))).toBe(
        'repository-exists',
      )
    }
  })

  test('takes another password later', async () => {
    const more = createMemoryStore()
    for (const [key, bytes] of store.objects) more.objects.set(key, bytes)
    const { id, bytes } = await addPassword({
      masterKey: made.masterKey,
      password: 'third',
      ...about,
    })
    await more.put(`keys/${id}`, id, bytes)
    expect((await openRepository({ store: more, password: 'third' })).masterKey).toEqual(
      made.masterKey,
    )
  })

  test('is absent without a config or without a key file', async () => {
    expect(await codeOf(openRepository({ store: createMemoryStore(), password: 'x' }))).toBe(
      'no-repository',
    )
    const config = store.objects.get('config')!
    expect(await codeOf(openRepositoryFrom({ config, keyFiles: [], password: 'x' }))).toBe(
      'no-repository',
    )
  })

  test('refuses a key file under another name, and a config of another repository', async () => {
    const other = await prepareRepository({ passwords: ['host'], ...about })
    const [mine] = [...store.objects].filter(([key]) => key.startsWith('keys/'))
    const config = store.objects.get('config')!
    const renamed = [{ id: 'ab'.repeat(32), bytes: mine![1] }]
    expect(await codeOf(openRepositoryFrom({ config, keyFiles: renamed, password: 'host' }))).toBe(
      'damaged',
    )
    const mixed = openRepositoryFrom({ config, keyFiles: other.keyFiles, password: 'host' })
    expect(await codeOf(mixed)).toBe('damaged')
  })

  test('can be prepared without storing anything, and opens from those bytes', async () => {
    const { repository, keyFiles, config } = await prepareRepository({
      passwords: ['a', 'b'],
      ...about,
    })
    expect(keyFiles.length).toBe(2)
    const opened = await openRepositoryFrom({ config, keyFiles, password: 'b' })
    expect(opened).toEqual({ ...repository, keyId: keyFiles[1]!.id })
  })

  test('needs passwords that are not empty', async () => {
    for (const passwords of [[], [''], ['a', '']]) {
      expect(await codeOf(prepareRepository({ passwords, ...about }))).toBe('invalid-input')
    }
  })
})
