// Snapshots: one JSON object each, naming the root tree and whose data it is.

import { damaged } from './errors.ts'
import {
  asObject,
  bigintField,
  field,
  goString,
  parseObject,
  stringField,
  stringListField,
  uintField,
} from './go-json.ts'
import { type Id, parseId } from './id.ts'
import { formatTime, type Nanoseconds, parseTime } from './time.ts'

/** What a backup did, as restic ≥ 0.17 shows it. Counts of files and directories, sizes in bytes. */
export interface SnapshotSummary {
  readonly backupStart: Nanoseconds
  readonly backupEnd: Nanoseconds
  readonly filesNew: bigint
  readonly filesChanged: bigint
  readonly filesUnmodified: bigint
  readonly dirsNew: bigint
  readonly dirsChanged: bigint
  readonly dirsUnmodified: bigint
  readonly dataBlobs: bigint
  readonly treeBlobs: bigint
  /** Bytes of new blobs before compression. */
  readonly dataAdded: bigint
  /** Bytes of new blobs as stored. */
  readonly dataAddedPacked: bigint
  readonly totalFilesProcessed: bigint
  readonly totalBytesProcessed: bigint
}

export interface Snapshot {
  readonly time: Nanoseconds
  readonly parent?: Id
  readonly tree: Id
  readonly paths: readonly string[]
  readonly hostname?: string
  readonly username?: string
  readonly uid?: number
  readonly gid?: number
  readonly excludes?: readonly string[]
  readonly tags?: readonly string[]
  /** The first version's id, once a snapshot was re-tagged. */
  readonly original?: Id
  readonly programVersion?: string
  readonly summary?: SnapshotSummary
}

const counters = [
  ['files_new', 'filesNew'],
  ['files_changed', 'filesChanged'],
  ['files_unmodified', 'filesUnmodified'],
  ['dirs_new', 'dirsNew'],
  ['dirs_changed', 'dirsChanged'],
  ['dirs_unmodified', 'dirsUnmodified'],
  ['data_blobs', 'dataBlobs'],
  ['tree_blobs', 'treeBlobs'],
  ['data_added', 'dataAdded'],
  ['data_added_packed', 'dataAddedPacked'],
  ['total_files_processed', 'totalFilesProcessed'],
  ['total_bytes_processed', 'totalBytesProcessed'],
] as const

/** The JSON text, fields in restic's order. Seal it once with `sealUnpacked`. */
export function encodeSnapshot(snapshot: Snapshot): Buffer {
  const list = (items: readonly string[]) => `[${items.map(goString).join(',')}]`
  const parts = [`"time":"${formatTime(snapshot.time)}"`]
  if (snapshot.parent !== undefined) parts.push(`"parent":"${snapshot.parent}"`)
  parts.push(`"tree":"${snapshot.tree}"`, `"paths":${list(snapshot.paths)}`)
  if (snapshot.hostname) parts.push(`"hostname":${goString(snapshot.hostname)}`)
  if (snapshot.username) parts.push(`"username":${goString(snapshot.username)}`)
  if (snapshot.uid) parts.push(`"uid":${snapshot.uid}`)
  if (snapshot.gid) parts.push(`"gid":${snapshot.gid}`)
  if (snapshot.excludes?.length) parts.push(`"excludes":${list(snapshot.excludes)}`)
  if (snapshot.tags?.length) parts.push(`"tags":${list(snapshot.tags)}`)
  if (snapshot.original !== undefined) parts.push(`"original":"${snapshot.original}"`)
  if (snapshot.programVersion) parts.push(`"program_version":${goString(snapshot.programVersion)}`)
  const summary = snapshot.summary
  if (summary !== undefined) {
    const start = `"backup_start":"${formatTime(summary.backupStart)}"`
    const end = `"backup_end":"${formatTime(summary.backupEnd)}"`
    const counts = counters.map(([name, key]) => `"${name}":${summary[key]}`)
    parts.push(`"summary":{${[start, end, ...counts].join(',')}}`)
  }
  return Buffer.from(`{${parts.join(',')}}`)
}

/** A snapshot must name a tree; everything else may be missing. Rejects with `damaged`. */
export function decodeSnapshot(json: Uint8Array): Snapshot {
  const what = 'a snapshot'
  const root = parseObject(json, what)
  const optionalId = (name: string) => {
    const value = field(root, name)
    return value === undefined ? undefined : parseId(value, `${what}'s ${name}`)
  }
  const tree = optionalId('tree')
  if (tree === undefined) throw damaged(`${what} names no tree`)
  const summary = field(root, 'summary')
  return omitUndefined({
    time: parseTime(field(root, 'time'), `${what}'s time`),
    parent: optionalId('parent'),
    tree,
    paths: stringListField(root, 'paths', what),
    hostname: stringField(root, 'hostname', what),
    username: stringField(root, 'username', what),
    uid: uintField(root, 'uid', what),
    gid: uintField(root, 'gid', what),
    excludes: optionalList(root, 'excludes'),
    tags: optionalList(root, 'tags'),
    original: optionalId('original'),
    programVersion: stringField(root, 'program_version', what),
    summary: summary === undefined ? undefined : decodeSummary(summary),
  })
}

function optionalList(root: ReturnType<typeof parseObject>, name: string): string[] | undefined {
  const list = stringListField(root, name, 'a snapshot')
  return list.length === 0 ? undefined : list
}

function decodeSummary(value: unknown): SnapshotSummary {
  const what = "a snapshot's summary"
  const json = asObject(value, what)
  const counts = counters.map(([name, key]) => [key, bigintField(json, name, what) ?? 0n] as const)
  return {
    backupStart: parseTime(field(json, 'backup_start'), what),
    backupEnd: parseTime(field(json, 'backup_end'), what),
    ...(Object.fromEntries(counts) as Record<(typeof counters)[number][1], bigint>),
  }
}

function omitUndefined<T extends object>(value: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T
}
