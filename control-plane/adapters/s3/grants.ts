// Signed URLs: SigV4 in the query, with everything pinned that the far side can enforce.
import { AwsV4Signer } from 'aws4fetch'
import { fromHex, toBase64 } from '../../../shared/bytes.ts'
import type { Clock } from '../../../shared/clock.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { type Places, placeOf } from '../../../shared/vault/places.ts'
import type { VaultCredentials, VaultPlace } from '../../../shared/vault/vault.ts'
import type { SignedUrl } from '../../ports/objects.ts'

export type S3Place = Extract<VaultPlace, { kind: 's3' }>

/** What a PUT URL nails down beside method, key, length and privacy. */
export interface PutPins {
  /** The body's SHA-256, as header and as payload line. */
  readonly sha256: boolean
  /** The body's MD5: a transfer check, for stores that do not enforce SHA-256. */
  readonly md5: boolean
  readonly ifNoneMatch: boolean
}

export interface PutWanted {
  readonly key: string
  readonly bytes: number
  readonly sha256: string
  /** 32 hex digits. */
  /** Where the pins ask for it. */
  readonly md5?: string
  readonly seconds: number
}

export interface Grants {
  signPut(wanted: PutWanted, pins: PutPins, at?: number): Promise<SignedUrl>
  signGet(wanted: { key: string; seconds: number }, at?: number): Promise<SignedUrl>
}

/** Where an object lies: path style or virtual host. `key` is whole, from the root of the bucket. */
export function objectUrl(place: S3Place, key: string): URL {
  const url = new URL(place.endpoint)
  const base = url.pathname.replace(/\/+$/, '')
  if (place.pathStyle) {
    url.pathname = `${base}/${place.bucket}/${key}`
  } else {
    url.hostname = `${place.bucket}.${url.hostname}`
    url.pathname = `${base}/${key}`
  }
  return url
}

/** The whole key of an object, from the root of the bucket. */
export function wholeKey(place: S3Place, places: Places, key: string): string {
  return placeOf(key, places) ?? place.prefix + key
}

/**
 * `skewMs` is our clock minus the store's: URLs are dated by the store's clock, so that a control plane
 * whose clock is a few minutes off still signs URLs that live as long as promised.
 */
export function createGrants(deps: {
  place: S3Place
  credentials: VaultCredentials
  clock: Clock
  skewMs: number
  places: Places
}): Grants {
  const { place, credentials, places } = deps
  // Derived signing keys, one per day and region: four HMACs saved per URL.
  const cache = new Map<string, ArrayBuffer>()

  async function sign(
    method: 'PUT' | 'GET',
    key: string,
    seconds: number,
    headers: Record<string, string>,
    at = deps.clock.now(),
  ): Promise<SignedUrl> {
    const url = objectUrl(place, wholeKey(place, places, key))
    url.searchParams.set('X-Amz-Expires', String(seconds))
    const signed = await new AwsV4Signer({
      ...credentials,
      service: 's3',
      region: place.region,
      method,
      url: url.href,
      headers,
      signQuery: true,
      // Without it content-length is left out of the signature.
      allHeaders: true,
      datetime: amzDate(at - deps.skewMs),
      cache,
    }).sign()
    return { url: signed.url.href, headers }
  }

  return {
    signPut: ({ key, bytes, sha256, md5, seconds }, pins, at) =>
      sign(
        'PUT',
        key,
        seconds,
        {
          'content-length': String(bytes),
          ...(pins.sha256 ? { 'x-amz-content-sha256': sha256 } : {}),
          'x-amz-acl': 'private',
          ...(pins.ifNoneMatch ? { 'if-none-match': '*' } : {}),
          ...(pins.md5 ? { 'content-md5': toBase64(fromHex(required(md5))) } : {}),
        },
        at,
      ),
    // Range stays unsigned: one URL serves all ranges of a pack.
    signGet: ({ key, seconds }, at) => sign('GET', key, seconds, {}, at),
  }
}

function required(md5: string | undefined): string {
  if (md5 !== undefined) return md5
  throw new HoldfastError('invalid', 'md5: is needed, because this store does not check SHA-256', {
    hint: 'run the job again: its host learns of it when the job begins',
  })
}

/** `20260102T030405Z`. */
function amzDate(at: number): string {
  return new Date(at).toISOString().replace(/[:-]|\.\d{3}/g, '')
}
