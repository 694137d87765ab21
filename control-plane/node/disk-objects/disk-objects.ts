// The embedded vault: a folder of the control plane's own disk, reached by signed URLs like a bucket.
import { equalBytes } from '../../../shared/bytes.ts'
import type { Clock } from '../../../shared/clock.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { isVaultPrefix } from '../../../shared/vault/key.ts'
import { type Places, placeOf } from '../../../shared/vault/places.ts'
import {
  requireKey,
  requireRemovable,
  requireSeconds,
  requireSignable,
} from '../../../shared/vault/refuse-key.ts'
import type { ListedObject, Objects } from '../../ports/objects.ts'
import type { VaultSubject } from '../../ports/vault-subject.ts'
import { listObjects } from './listing.ts'
import { type Allowed, signedPath } from './signed-url.ts'
import type { VaultFolder } from './vault-folder.ts'

export interface DiskVaultOptions {
  /** The vault's id, part of every URL. */
  readonly vault: string
  readonly folder: VaultFolder
  /** Repositories that lie outside the layout: places below the folder. */
  readonly places?: Places
  /** Where agents reach the control plane, e.g. `https://backup.example.com`. */
  readonly publicUrl: string
  /** Signs the URLs; derived from the master key. */
  readonly urlKey: Uint8Array
  readonly clock: Clock
}

export function createDiskVault(options: DiskVaultOptions): VaultSubject {
  const { vault, folder, publicUrl, urlKey, clock, places = {} } = options
  const whole = (key: string) => placeOf(key, places) ?? key
  const placed = (key: string) => {
    const place = places[/^repositories\/([^/]+)\//.exec(key)?.[1] ?? '']
    return place === undefined ? {} : { place }
  }

  const urlOf = (allowed: Allowed) => new URL(signedPath(allowed, urlKey), publicUrl).href
  const expiry = (at: number, seconds: number) => Math.floor(at / 1_000) + seconds
  const signPut: VaultSubject['signPut'] = async ({ key, bytes, sha256, seconds }, _pins, at) => ({
    url: urlOf({
      ...{ method: 'PUT', vault, key, bytes, sha256, expires: expiry(at, seconds) },
      ...placed(key),
    }),
    headers: { 'content-length': String(bytes) },
  })
  const signGet: VaultSubject['signGet'] = async ({ key, seconds }, at) => ({
    url: urlOf({ method: 'GET', vault, key, expires: expiry(at, seconds), ...placed(key) }),
    headers: {},
  })
  const allPins = { sha256: true, md5: false, ifNoneMatch: true }

  const objects: Objects = {
    needsMd5: false,

    async signPut(wanted) {
      requireSignable(wanted)
      return signPut(wanted, allPins, clock.now())
    },

    async signGet(wanted) {
      requireKey(wanted.key)
      requireSeconds(wanted.seconds)
      return signGet(wanted, clock.now())
    },

    async head(key) {
      requireKey(key)
      const file = await folder.openRead(whole(key))
      if (file === undefined) return undefined
      try {
        const facts = await file.stat()
        return facts.isFile() ? facts.size : undefined
      } finally {
        await file.close()
      }
    },

    async list(prefix, { cursor, limit }) {
      if (!isVaultPrefix(prefix)) throw new HoldfastError('invalid', 'prefix: not a vault prefix')
      const listed: ListedObject[] = []
      const after = cursor === undefined ? '' : whole(cursor)
      for await (const object of listObjects(folder.root, whole(prefix), after)) {
        if (listed.length === limit) return { objects: listed, next: listed.at(-1)!.key }
        listed.push({ ...object, key: prefix + object.key.slice(whole(prefix).length) })
      }
      return { objects: listed }
    },

    async get(key, maxBytes) {
      requireKey(key)
      const file = await folder.openRead(whole(key))
      if (file === undefined) return undefined
      try {
        const facts = await file.stat()
        if (!facts.isFile()) return undefined
        if (facts.size > maxBytes) {
          throw new HoldfastError('too-large', `the object has more than ${maxBytes} bytes`)
        }
        return new Uint8Array(await file.readFile())
      } finally {
        await file.close()
      }
    },

    async put(key, bytes) {
      requireKey(key)
      if (bytes.length === 0) throw new HoldfastError('invalid', 'an empty object is never written')
      const result = await folder.writeOnce(whole(key), once(bytes), undefined)
      if (result === 'stored') return 'stored'
      const present = await objects.get(key, Number.MAX_SAFE_INTEGER)
      return present !== undefined && equalBytes(present, bytes) ? 'stored' : 'exists'
    },

    async remove(key) {
      requireRemovable(key)
      await folder.remove(whole(key))
    },

    // The plane's disk has the plane's clock.
    time: async () => clock.now(),
  }

  return {
    objects,
    pins: allPins,
    signPut,
    signGet,
    copySource: () => undefined,
    bucketState: async () => ({ versioning: false, objectLock: false }),
    async purge(prefix) {
      for await (const { key } of listObjects(folder.root, prefix, '')) await objects.remove(key)
      return { left: 0 }
    },
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
