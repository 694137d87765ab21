// A job: one run of something on one host.
import * as z from 'zod'
import { base64Of, id, sha256 } from '../ids.ts'
import { parsePlace } from '../vault/places.ts'
import { dataSubset } from './data-subset.ts'
import { sourceReference } from './source.ts'

/** The closed list of kinds this version carries out. */
export const jobKinds = ['init', 'backup', 'verify', 'restore', 'browse', 'prune'] as const
export const jobKind = z.enum(jobKinds)
export type JobKind = z.infer<typeof jobKind>

/** queued → running → finished; a lost attempt goes back to queued. */
export const jobStates = ['queued', 'running', 'finished'] as const
export const jobState = z.enum(jobStates)
export type JobState = z.infer<typeof jobState>

/** A path inside a snapshot, as the base64 of its raw bytes (file names need not be UTF-8). */
export const rawPath = base64Of(16_384)

/** An age recipient (`age1…`, X25519). */
export const ageRecipient = z
  .string()
  .regex(/^age1[02-9ac-hj-np-z]{58}$/, 'must be an age X25519 recipient (age1…)')

/** Where restored files go. */
export const restoreTarget = z.discriminatedUnion('kind', [
  /** A volume that does not exist yet; it is made with the source's definition. */
  z.strictObject({
    kind: z.literal('new-volume'),
    name: z
      .string()
      .max(255)
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/),
  }),
  /** Into the existing volume, by building beside it and exchanging. */
  z.strictObject({
    kind: z.literal('in-place'),
    name: z
      .string()
      .max(255)
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/),
    /** Stop containers that use it first, and start them again afterwards. */
    stopContainers: z.boolean(),
    /** Hours the old content is kept beside the new. */
    keepOldHours: z
      .int()
      .min(0)
      .max(24 * 365),
  }),
  /** A directory on the host that is absent or empty. */
  z.strictObject({ kind: z.literal('directory'), path: z.string().max(4_096).startsWith('/') }),
])
export type RestoreTarget = z.infer<typeof restoreTarget>

/** What a job needs to know, by kind. Stored as JSON, sent to the agent in the `run` command. */
export const jobParameters = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('init'),
    /** Take over the repository that lies there, instead of making one. */
    adopt: z
      .strictObject({
        vault: id,
        /** Where it lies: `parsePlace` of `shared/vault/places.ts`. */
        place: z
          .string()
          .max(2_100)
          .refine((place) => parsePlace(place) === place, 'must be a place in a vault'),
        /** One of its passwords, sealed with age to this host's recipient. */
        sealedPassword: base64Of(8_192),
      })
      .optional(),
  }),
  z.strictObject({
    kind: z.literal('backup'),
    source: sourceReference,
    /** Snapshot time, RFC 3339, by the control plane's clock. */
    time: z.iso.datetime(),
    /** The snapshot of the same source to compare with, and its tree if the catalogue knows it. */
    parent: sha256.optional(),
    tags: z.array(z.string().max(256)).max(32),
    /** Glob patterns of files that may change while they are read without a warning. */
    volatile: z.array(z.string().max(1_024)).max(256),
    /** Read every file again even when it looks unchanged. */
    readAll: z.boolean(),
  }),
  z.strictObject({
    kind: z.literal('verify'),
    /** The structure is checked always. True: every pack is read too; or those of a subset. */
    readData: z.union([z.boolean(), dataSubset]),
  }),
  z.strictObject({
    kind: z.literal('restore'),
    snapshot: sha256,
    source: sourceReference,
    target: restoreTarget,
    /** Raw paths relative to the source's root; empty = everything. */
    paths: z.array(rawPath).max(1_000),
    /** The volume's definition from the receipt; labels kept only under the same name. */
    volume: z.lazy(() => volumeDefinition).optional(),
    /**
     * Set when the repository belongs to another host: its recovery password, sealed with age to
     * this host's recipient.
     */
    sealedPassword: base64Of(8_192).optional(),
  }),
  z.strictObject({
    kind: z.literal('browse'),
    snapshot: sha256,
    source: sourceReference,
    /** Raw path relative to the source's root; empty = the root. */
    path: rawPath,
    /** `list`: one directory, or the whole tree below it; `file`: the bytes of one file. */
    what: z.enum(['list', 'tree', 'file']),
    /** One-time recipient of the person who asked: pages are sealed to it. */
    recipient: ageRecipient,
  }),
  z.strictObject({
    kind: z.literal('prune'),
    /** Bytes of packs that may be read and written anew in this run; 0: nothing is repacked. */
    maxRepackBytes: z.int().min(0),
    /** No further pack is repacked after so many seconds. What is repacked by then is kept. */
    maxSeconds: z
      .int()
      .min(1)
      .max(7 * 86_400),
    /** Share of bytes in used packs that nothing refers to, below which nothing is repacked, in percent. */
    maxUnusedPercent: z.number().min(0).max(100),
    /** A person approved that so many bytes are taken away; without it a tenth of the repository is the limit. */
    approvedBytes: z.int().min(0).optional(),
  }),
])
export type JobParameters = z.infer<typeof jobParameters>
export type ParametersOf<K extends JobKind> = Extract<JobParameters, { kind: K }>

/** What a volume is besides its bytes. Values of driver options may hold secrets and travel sealed. */
export const volumeDefinition = z.strictObject({
  driver: z.string().max(255),
  labels: z.record(z.string().max(1_024), z.string().max(65_536)),
  /** age ciphertext of the JSON of the driver options, sealed to the host's own and the recovery recipient. */
  sealedOptions: base64Of(65_536).optional(),
})
export type VolumeDefinition = z.infer<typeof volumeDefinition>

/** How far a job is. Counts only: names stay on the host. */
export const progress = z.strictObject({
  phase: z.enum([
    'starting',
    'scanning',
    'reading',
    'uploading',
    'committing',
    'restoring',
    'verifying',
    'listing',
    'repacking',
  ]),
  files: z.int().min(0),
  filesTotal: z.int().min(0).optional(),
  bytes: z.int().min(0),
  bytesTotal: z.int().min(0).optional(),
  bytesStored: z.int().min(0).optional(),
})
export type Progress = z.infer<typeof progress>

/** What a finished job reports. */
export const jobCounts = z.strictObject({
  files: z.int().min(0),
  directories: z.int().min(0).optional(),
  filesNew: z.int().min(0).optional(),
  filesChanged: z.int().min(0).optional(),
  filesUnmodified: z.int().min(0).optional(),
  /** Bytes of file content in the snapshot, restored or verified. */
  bytes: z.int().min(0),
  /** Bytes newly put into the store. */
  bytesStored: z.int().min(0).optional(),
  unreadable: z.int().min(0).optional(),
  changed: z.int().min(0).optional(),
  vanished: z.int().min(0).optional(),
  metadataRefused: z.int().min(0).optional(),
  /** Entries of snapshots that cannot be restored as they were, those of each snapshot counted. */
  harmed: z.int().min(0).optional(),
  /** Memory that the repository's index took, in bytes. */
  indexBytes: z.int().min(0).optional(),
  /** Packs a prune gave up, and their bytes; they are deleted later. */
  packsCondemned: z.int().min(0).optional(),
  bytesCondemned: z.int().min(0).optional(),
  milliseconds: z.int().min(0),
})
export type JobCounts = z.infer<typeof jobCounts>

export const jobId = id
