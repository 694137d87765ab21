// What is measured of either side: the same deeds on a repository of its own.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import type { Rgw } from '../rig/rgw.ts'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import type { Measured } from './measure.ts'

export interface Deed extends Measured {
  /** The mover's own count, where a whole product stands around it. */
  readonly moverSeconds?: number
}

/** One side, with a repository that was made for it and holds nothing yet. */
export interface Contender {
  backup(): Promise<Deed>
  /** Keeps what a pipe gives as one file. `input` is the pipe's reading end. */
  backupStream(input: number): Promise<Deed>
  /** Restores the newest snapshot below `target`, which does not exist. Resolves to where the tree then lies, too. */
  restore(target: string): Promise<Deed & { readonly tree: string }>
  verify(): Promise<Deed>
  storedBytes(): Promise<number>
  /** `restic check`, not measured. Rejects when it finds anything wrong. */
  judge(): Promise<void>
  /** Takes the repository away. */
  close(): Promise<void>
}

/** A bucket to measure on. */
export interface Bucket {
  readonly rgw: Rgw
  readonly name: string
  /** The control plane's name for it. */
  readonly vault: string
}

/** A fast restore of something else is no restore. Throws with the first difference. */
export function requireEqual(source: string, restored: string): void {
  const { differences, entries } = compareTrees(source, restored, { ignore: ['allocation-grew'] })
  const [first] = differences
  if (first !== undefined)
    throw new Error(`${differences.length} differences after a restore: ${printDifference(first)}`)
  if (entries === 0) throw new Error('nothing was compared')
}

/** Bytes of all files below a folder. */
export function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(folder, name)))
    .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0)
}

/** Bytes of all objects below a prefix of a bucket. */
export async function bucketSize({ rgw, name }: Bucket, Prefix: string): Promise<number> {
  let size = 0
  let ContinuationToken: string | undefined
  do {
    const command = new ListObjectsV2Command({ Bucket: name, Prefix, ContinuationToken })
    const page = await rgw.client.send(command)
    for (const object of page.Contents ?? []) size += object.Size ?? 0
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken !== undefined)
  return size
}
