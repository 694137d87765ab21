// A vault as the probe sees it: everything a grant holder could try, and how to clean up after it.
import type { Objects, SignedUrl } from './objects.ts'

/** What a signed PUT pins beside method, key and length; the probe leaves some out to see what holds. */
export interface ProbePins {
  readonly sha256: boolean
  readonly md5: boolean
  readonly ifNoneMatch: boolean
}

/**
 * Implementations: `adapters/s3` and `node/disk-objects`. Failures reject as in `Objects`.
 */
export interface VaultSubject {
  readonly objects: Objects
  /** Pins that this kind of vault knows; those it lacks are always on or never there. */
  readonly pins: ProbePins
  signPut(
    wanted: { key: string; bytes: number; sha256: string; md5?: string; seconds: number },
    pins: ProbePins,
    /** When the URL's life begins, by our clock in ms. */
    at: number,
  ): Promise<SignedUrl>
  signGet(wanted: { key: string; seconds: number }, at: number): Promise<SignedUrl>
  /** `x-amz-copy-source` for that object, or undefined where there is no such thing. */
  copySource(key: string): string | undefined
  /** Null where the store does not say. */
  bucketState(): Promise<{ versioning: boolean | null; objectLock: boolean | null }>
  /** Removes every object and version of one probe. Resolves to what could not be removed. */
  purge(prefix: string): Promise<{ left: number }>
}
