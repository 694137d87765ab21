// A vault: a bucket and prefix with its credentials, or a directory of the control plane's own disk.
import * as z from 'zod'
import { plainName } from '../ids.ts'

/** Regions of DigitalOcean Spaces, and the endpoint of each. */
export const spacesRegions = [
  'nyc3',
  'ams3',
  'sgp1',
  'fra1',
  'sfo2',
  'sfo3',
  'blr1',
  'syd1',
  'lon1',
  'tor1',
  'atl1',
] as const
export function spacesEndpoint(region: (typeof spacesRegions)[number]): string {
  return `https://${region}.digitaloceanspaces.com`
}

const bucket = z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be a bucket name')
const prefix = z
  .string()
  .max(512)
  .regex(/^(?:[A-Za-z0-9._-]+\/)*$/, 'must be empty or end in a slash, of plain characters')
  .refine(
    (text) => !text.split('/').some((part) => part === '.' || part === '..'),
    'must not hold "." or ".."',
  )

/** What is kept of a vault in the clear. */
export const vaultPlace = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('s3'),
    endpoint: z.url({ protocol: /^https?$/ }),
    region: z.string().min(1).max(64),
    bucket,
    prefix,
    /** `https://endpoint/bucket/key` instead of `https://bucket.endpoint/key`. */
    pathStyle: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('disk') }),
])
export type VaultPlace = z.infer<typeof vaultPlace>

/** Sealed at rest under the key from the environment; the control plane alone ever opens it. */
export const vaultCredentials = z.strictObject({
  accessKeyId: z.string().min(1).max(256),
  secretAccessKey: z.string().min(1).max(1_024),
})
export type VaultCredentials = z.infer<typeof vaultCredentials>

export const newVault = z.strictObject({
  name: plainName,
  place: vaultPlace,
  credentials: vaultCredentials.optional(),
})
export type NewVault = z.infer<typeof newVault>

/** What a probe saw the store do. `true` = enforced or supported, `null` = could not be told. */
export const vaultCapabilities = z.strictObject({
  /** Other bytes than the signed SHA-256 are refused. */
  enforcesSha256: z.boolean().nullable(),
  /** A longer or shorter body than signed is refused. */
  enforcesLength: z.boolean().nullable(),
  enforcesMd5: z.boolean().nullable(),
  /** `if-none-match: *` is accepted, and a second write answers 412. */
  ifNoneMatch: z.enum(['enforced', 'ignored', 'rejected']).nullable(),
  /** Unsigned `x-amz-*` headers on a signed URL change nothing (CVE-2026-54330). */
  refusesUnsignedHeaders: z.boolean().nullable(),
  /** `x-amz-copy-source` smuggled onto a full-pin PUT steals nothing. */
  refusesSmuggledCopy: z.boolean().nullable(),
  /** Stock restic can write over `s3:`; otherwise it reads with --no-lock or goes through rclone. */
  stockResticWrites: z.boolean().nullable(),
  /** A URL for one method or key does not serve another. */
  bindsMethodAndKey: z.boolean().nullable(),
  versioning: z.boolean().nullable(),
  objectLock: z.boolean().nullable(),
  /** Our clock minus the store's, in milliseconds. */
  clockSkewMs: z.int().nullable(),
})
export type VaultCapabilities = z.infer<typeof vaultCapabilities>

/** One thing the probe tried, for people. */
export const probeFinding = z.strictObject({
  check: z.string().max(64),
  level: z.enum(['ok', 'note', 'warning', 'danger']),
  saw: z.string().max(500),
  remedy: z.string().max(500).optional(),
})
export type ProbeFinding = z.infer<typeof probeFinding>
