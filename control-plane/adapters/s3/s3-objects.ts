// An S3 bucket (and prefix) as a vault.
import {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { equalBytes } from '../../../shared/bytes.ts'
import type { Clock } from '../../../shared/clock.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { isVaultPrefix } from '../../../shared/vault/key.ts'
import type { Places } from '../../../shared/vault/places.ts'
import {
  requireKey,
  requireRemovable,
  requireSeconds,
  requireSignable,
} from '../../../shared/vault/refuse-key.ts'
import type { VaultCapabilities, VaultCredentials } from '../../../shared/vault/vault.ts'
import type { Objects } from '../../ports/objects.ts'
import type { VaultSubject } from '../../ports/vault-subject.ts'
import { createGrants, type S3Place, wholeKey } from './grants.ts'
import { failureOf, storeError } from './store-error.ts'

/** Tries of one SDK call, the first included; the SDK waits 0.1 s doubling between them. */
const ATTEMPTS = 4
/** Patience in ms: to connect, for silence on the line, and for one whole call on a small object. */
const CONNECT_TIMEOUT = 5_000
const SILENCE_TIMEOUT = 30_000
const CALL_TIMEOUT = 60_000
/** The time question is one small request. */
const TIME_TIMEOUT = 10_000

export interface S3ObjectsOptions {
  readonly place: S3Place
  /** Repositories that lie outside the layout. */
  readonly places?: Places
  readonly credentials: VaultCredentials
  /** What the last probe saw; null before the first. */
  readonly capabilities: VaultCapabilities | null
  /** Our clock minus the store's, in ms. */
  readonly skewMs: number
  readonly clock: Clock
  readonly fetch: typeof fetch
}

/** The vault, with what the probe needs beside `Objects`. Call `close` when it is no longer used. */
export type S3Vault = VaultSubject & { close(): void }

export function createS3Vault(options: S3ObjectsOptions): S3Vault {
  const { place, credentials, capabilities, places = {} } = options
  const Bucket = place.bucket
  const grants = createGrants({ ...options, places })
  const whole = (key: string) => wholeKey(place, places, key)
  const client = new S3Client({
    endpoint: place.endpoint,
    region: place.region,
    forcePathStyle: place.pathStyle,
    // The SDK writes into the object it is given (`$source`, 2026): it gets its own.
    credentials: { ...credentials },
    maxAttempts: ATTEMPTS,
    systemClockOffset: -options.skewMs,
    // Ceph refuses the SDK's default trailers, and a checksum of our own choice is signed anyway.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT,
      socketTimeout: SILENCE_TIMEOUT,
      requestTimeout: CALL_TIMEOUT,
      throwOnRequestTimeout: true,
    },
  })
  const at = (key: string) => {
    requireKey(key)
    return { Bucket, Key: whole(key) }
  }

  async function attempt<T>(doing: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      throw storeError(error, doing)
    }
  }

  async function unlessAbsent<T>(doing: string, call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await call()
    } catch (error) {
      const { name, status } = failureOf(error)
      if (status === 404 && name !== 'NoSuchBucket') return undefined
      throw storeError(error, doing)
    }
  }

  const needsMd5 = capabilities?.enforcesSha256 === false

  const objects: Objects = {
    needsMd5,

    async signPut(wanted) {
      requireSignable(wanted)
      const wanting = {
        sha256: true,
        md5: needsMd5,
        ifNoneMatch: capabilities?.ifNoneMatch !== 'rejected',
      }
      return grants.signPut(wanted, wanting)
    },

    async signGet(wanted) {
      requireKey(wanted.key)
      requireSeconds(wanted.seconds)
      return grants.signGet(wanted)
    },

    async head(key) {
      const where = at(key)
      const found = await unlessAbsent('look up an object', () =>
        client.send(new HeadObjectCommand(where)),
      )
      return found?.ContentLength
    },

    async list(prefix, { cursor, limit }) {
      if (!isVaultPrefix(prefix)) throw new HoldfastError('invalid', 'prefix: not a vault prefix')
      const found = await attempt('list the bucket', () =>
        client.send(
          new ListObjectsV2Command({
            Bucket,
            Prefix: whole(prefix),
            MaxKeys: limit,
            ...(cursor === undefined ? {} : { StartAfter: whole(cursor) }),
          }),
        ),
      )
      const listed = (found.Contents ?? []).map((object) => ({
        key: prefix + (object.Key ?? '').slice(whole(prefix).length),
        bytes: object.Size ?? 0,
        modifiedAt: object.LastModified?.getTime() ?? 0,
      }))
      // The cursor is the last key itself: it survives a restart and means the same to every store.
      const last = listed.at(-1)
      return {
        objects: listed,
        ...(found.IsTruncated && last !== undefined ? { next: last.key } : {}),
      }
    },

    async get(key, maxBytes) {
      const where = at(key)
      const found = await unlessAbsent('read an object', () =>
        client.send(new GetObjectCommand(where)),
      )
      if (found?.Body === undefined) return undefined
      if (found.ContentLength === undefined || found.ContentLength > maxBytes) {
        await found.Body.transformToWebStream().cancel()
        throw new HoldfastError('too-large', `the object has more than ${maxBytes} bytes`)
      }
      const body = found.Body
      return attempt('read an object', () => body.transformToByteArray())
    },

    async put(key, bytes) {
      const where = at(key)
      if (bytes.length === 0) throw new HoldfastError('invalid', 'an empty object is never written')
      // Without a store that guards the name (or one not yet probed), look first: two writers of the
      // same key at once are then kept apart by the database's fences alone.
      if (capabilities?.ifNoneMatch !== 'enforced') {
        const present = await objects.get(key, bytes.length + 1).catch(otherSize)
        if (present !== undefined) return equalBytes(present, bytes) ? 'stored' : 'exists'
      }
      const guarded = capabilities?.ifNoneMatch !== 'rejected'
      const send = (guard: boolean) =>
        client.send(
          new PutObjectCommand({
            ...where,
            Body: bytes,
            ContentLength: bytes.length,
            ACL: 'private',
            ...(guard ? { IfNoneMatch: '*' } : {}),
          }),
        )
      try {
        await send(guarded)
        return 'stored'
      } catch (error) {
        const { status } = failureOf(error)
        if (status === 412) {
          // Somebody's bytes are there: ours too, if an answer got lost and the SDK sent them again.
          const present = await objects.get(key, bytes.length + 1).catch(otherSize)
          if (present !== undefined && equalBytes(present, bytes)) return 'stored'
          return 'exists'
        }
        if (status === 501 && guarded) {
          await attempt('write an object', () => send(false))
          return 'stored'
        }
        throw storeError(error, 'write an object')
      }
    },

    async remove(key) {
      requireRemovable(key)
      const where = at(key)
      await unlessAbsent('remove an object', () => client.send(new DeleteObjectCommand(where)))
    },

    async time() {
      // Any answer carries the date, a refusal too; so nothing is signed and nothing is revealed.
      const url = new URL(place.endpoint)
      let date: string | null = null
      try {
        const signal = AbortSignal.timeout(TIME_TIMEOUT)
        const answer = await options.fetch(url, { method: 'HEAD', redirect: 'manual', signal })
        date = answer.headers.get('date')
      } catch (error) {
        throw storeError(error, 'ask the store for its time')
      }
      const time = date === null ? Number.NaN : Date.parse(date)
      if (Number.isNaN(time)) {
        throw new HoldfastError('store-unavailable', 'the store did not state its time')
      }
      return time
    },
  }

  return {
    objects,
    pins: { sha256: true, md5: true, ifNoneMatch: true },
    signPut: grants.signPut,
    signGet: grants.signGet,
    copySource: (key) => `/${Bucket}/${whole(key)}`,

    async bucketState() {
      const told = async (ask: () => Promise<boolean>) => {
        try {
          return await ask()
        } catch (error) {
          const { name, status } = failureOf(error)
          if (name === 'ObjectLockConfigurationNotFoundError') return false
          if (status === undefined || status >= 500) throw storeError(error, 'read bucket settings')
          return null
        }
      }
      return {
        versioning: await told(
          async () =>
            (await client.send(new GetBucketVersioningCommand({ Bucket }))).Status === 'Enabled',
        ),
        objectLock: await told(
          async () =>
            (await client.send(new GetObjectLockConfigurationCommand({ Bucket })))
              .ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled',
        ),
      }
    },

    async purge(prefix) {
      const Prefix = place.prefix + prefix
      const versions = await attempt('list what the probe left', async () => {
        try {
          const found = await client.send(new ListObjectVersionsCommand({ Bucket, Prefix }))
          return [...(found.Versions ?? []), ...(found.DeleteMarkers ?? [])]
        } catch (error) {
          // Some stores know no versions at all, and say so with 501 or a 4xx.
          const { status = 0 } = failureOf(error)
          if (status !== 501 && (status < 400 || status >= 500)) throw error
          const found = await client.send(new ListObjectsV2Command({ Bucket, Prefix }))
          return (found.Contents ?? []).map(({ Key }) => ({ Key, VersionId: undefined }))
        }
      })
      let left = 0
      for (const { Key, VersionId } of versions) {
        if (Key === undefined) continue
        try {
          await client.send(
            new DeleteObjectCommand({ Bucket, Key, ...(VersionId ? { VersionId } : {}) }),
          )
        } catch (error) {
          // A locked version stays until its date; the finding says so.
          if (failureOf(error).status === undefined)
            throw storeError(error, 'remove a probe object')
          left++
        }
      }
      return { left }
    },

    close: () => client.destroy(),
  }
}

/** A body longer than ours is certainly not ours: as different as can be. */
function otherSize(error: unknown): Uint8Array {
  if (error instanceof HoldfastError && error.code === 'too-large') return new Uint8Array(0)
  throw error
}
