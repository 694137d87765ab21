// A repository: its master key, its identity, and where its chunks are cut.
import type { ObjectStore } from '../storage/object-store.ts'
import { StorageError } from '../storage/object-store.ts'
import type { SealingKey } from './cipher.ts'
import { openConfig, sealConfig } from './config-file.ts'
import { damaged, RepositoryError } from './errors.ts'
import { type Clock, type Id, idOf, type Random, randomId } from './id.ts'
import { encodeKeyFile, openKeyFile, randomMasterKey } from './key-file.ts'
import { configKey, idOfKey, objectKey, prefixOf } from './layout.ts'
import { randomPolynomial } from './polynomial.ts'
import type { SealedObject } from './unpacked.ts'

/** An opened repository. Whoever holds this can read everything in it. */
export interface Repository {
  /** The repository's own random id; '' for a foreign one without. */
  readonly id: Id | ''
  readonly version: 1 | 2
  readonly masterKey: SealingKey
  readonly polynomial: bigint
  /** The key file that opened it; undefined where it was just made. */
  readonly keyId: Id | undefined
}

/** restic gives up at more key files than this. */
const keyFileCount = 20

export interface NewRepositoryOptions {
  /** One key file is made for each, in this order. */
  readonly passwords: readonly string[]
  readonly random: Random
  readonly clock: Clock
  /** Written into the key files, for people who list them. */
  readonly hostname: string
  readonly username: string
}

/** A repository that exists in memory only, and the objects that make it exist in a store. */
export interface NewRepository {
  readonly repository: Repository
  readonly keyFiles: readonly SealedObject[]
  /** To be stored last, under `config`: with it the repository exists. */
  readonly config: Buffer
}

/** Make everything a new repository needs and store nothing. */
export async function prepareRepository(options: NewRepositoryOptions): Promise<NewRepository> {
  const { passwords, random, clock, hostname, username } = options
  if (passwords.length === 0 || passwords.some((password) => password === '')) {
    throw new RepositoryError('invalid-input', 'a repository needs at least one password')
  }
  const masterKey = randomMasterKey(random)
  const polynomial = randomPolynomial(random)
  const id = randomId(random)
  const keyFiles: SealedObject[] = []
  for (const password of passwords) {
    keyFiles.push(await addPassword({ masterKey, password, random, clock, hostname, username }))
  }
  const config = sealConfig(masterKey, { version: 2, id, polynomial }, random)
  return {
    repository: { id, version: 2, masterKey, polynomial, keyId: undefined },
    keyFiles,
    config,
  }
}

/** One more key file for a master key that is already open: another password for the same repository. */
export async function addPassword(
  options: Omit<NewRepositoryOptions, 'passwords'> & { masterKey: SealingKey; password: string },
): Promise<SealedObject> {
  const { masterKey, password, random, clock, hostname, username } = options
  const created = clock.now()
  const bytes = await encodeKeyFile({ password, masterKey, created, username, hostname, random })
  return { id: idOf(bytes), bytes }
}

/** Make a repository and store it. Rejects with `repository-exists` where a config, key or snapshot lies. */
export async function createRepository(
  options: NewRepositoryOptions & { store: ObjectStore },
): Promise<Repository> {
  const { store } = options
  for (const prefix of [prefixOf('keys'), prefixOf('snapshots')]) {
    for await (const { key } of store.list(prefix)) {
      if (idOfKey(key) !== undefined) throw exists()
    }
  }
  if ((await store.head(configKey)) !== undefined) throw exists()
  const made = await prepareRepository(options)
  for (const { id, bytes } of made.keyFiles) await store.put(objectKey('keys', id), id, bytes)
  // If we die here there are keys without a config: no repository yet, and nothing that reads as one.
  await store.put(configKey, idOf(made.config), made.config)
  return made.repository
}

function exists(): RepositoryError {
  return new RepositoryError('repository-exists', 'there is a repository already')
}

/**
 * Open with a password: each key file is tried. Rejects with `no-repository`, `wrong-password`, or `damaged` if a
 * key file cannot be read (as stock restic does).
 */
export async function openRepository(options: {
  store: ObjectStore
  password: string
}): Promise<Repository> {
  const { store, password } = options
  const config = await getOrUndefined(store, configKey)
  if (config === undefined) throw noRepository('config')
  const keyFiles: { id: Id; bytes: Uint8Array }[] = []
  for await (const { key } of store.list(prefixOf('keys'))) {
    const id = idOfKey(key)
    if (id === undefined) continue
    if (keyFiles.length === keyFileCount) break
    keyFiles.push({ id, bytes: await store.get(key) })
  }
  return openRepositoryFrom({ config, keyFiles, password })
}

/** As `openRepository`, from the bytes of the config and of the key files that someone else fetched. */
export async function openRepositoryFrom(options: {
  config: Uint8Array
  keyFiles: Iterable<{ id: Id; bytes: Uint8Array }>
  password: string
}): Promise<Repository> {
  let tried = 0
  for (const { id, bytes } of options.keyFiles) {
    tried++
    if (idOf(bytes) !== id) throw damaged(`key file ${id} has other content than its name says`)
    const masterKey = await openKeyFile(bytes, options.password)
    if (masterKey === undefined) continue
    const { id: own, version, polynomial } = openConfig(masterKey, options.config)
    return { id: own, version, masterKey, polynomial, keyId: id }
  }
  if (tried === 0) throw noRepository('key file')
  throw new RepositoryError('wrong-password', `none of ${tried} key files opens with this password`)
}

function noRepository(what: string): RepositoryError {
  return new RepositoryError('no-repository', `there is no ${what}`)
}

async function getOrUndefined(store: ObjectStore, key: string): Promise<Uint8Array | undefined> {
  try {
    return await store.get(key)
  } catch (error) {
    if (error instanceof StorageError && error.code === 'absent') return undefined
    throw error
  }
}
