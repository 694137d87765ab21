// The two that are measured: the whole product, and stock restic, each doing the same three things.
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { machineEnvironment } from '../rig/machine.ts'
import { resticProgram } from '../rig/restic.ts'
import type { S3Access } from '../rig/s3-access.ts'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import { bucketPlace, diskRepository, type Fleet, type Job } from '../support/fleet.ts'
import { type Measured, measureProgram, watchPeak } from './measure.ts'

export const deeds = ['first backup', 'unchanged run', 'restore'] as const
export type Deed = (typeof deeds)[number]

/** What one contender needed for each deed of one round, and what lay in the store after the first backup. */
export interface Round {
  readonly deeds: Readonly<Record<Deed, Measured & { readonly moverSeconds?: number }>>
  readonly storedBytes: number
}

export interface Scene {
  readonly fleet: Fleet
  /** What is backed up. */
  readonly tree: string
  /** Where the store is a bucket. */
  readonly bucket?: { readonly access: S3Access; readonly name: string; readonly vault: string }
}

/** A host enrolled for this round: its repository is empty. Times are the job's, as the control plane keeps them. */
export async function runOurs({ fleet, tree, bucket }: Scene, name: string): Promise<Round> {
  const vault = bucket === undefined ? {} : { vault: bucket.vault }
  const host = await fleet.host(name, { directories: [tree], ...vault })
  await host.offers(`directory:${tree}`)
  const target = join(fleet.folder, `restored-${name}`)
  const measure = async (run: () => Promise<Job>) => {
    const peak = watchPeak(() => host.mover())
    const job = await run()
    const peakBytes = peak()
    if (job.outcome !== 'succeeded')
      throw new Error(`${job.kind} ended as ${job.outcome} (${job.reason}): ${job.message}`)
    const seconds = (Date.parse(job.finishedAt!) - Date.parse(job.startedAt!)) / 1_000
    return {
      job,
      measured: { seconds, peakBytes, moverSeconds: job.counts!.milliseconds! / 1_000 },
    }
  }
  try {
    const first = await measure(() => host.backup(`directory:${tree}`))
    const storedBytes = await (bucket === undefined
      ? sizeOf(diskRepository(fleet.data, host.repository))
      : bucketSize(bucket.access, bucket.name, `repositories/${host.repository}/`))
    const again = await measure(() => host.backup(`directory:${tree}`))
    const restore = await measure(() =>
      fleet.job('restore', again.job.snapshot!, '--to-directory', target),
    )
    requireEqual(tree, target)
    return {
      storedBytes,
      deeds: {
        'first backup': first.measured,
        'unchanged run': again.measured,
        restore: restore.measured,
      },
    }
  } finally {
    await host.stop()
    rmSync(target, { recursive: true, force: true })
  }
}

/** Stock restic with its own cache, as people run it. Making the repository is not counted, as it is not for us. */
export async function runRestic({ fleet, tree, bucket }: Scene, name: string): Promise<Round> {
  const folder = join(fleet.folder, `restic-${name}`)
  mkdirSync(folder)
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, 'correct horse battery staple', { mode: 0o600 })
  const place =
    bucket === undefined
      ? { repository: join(folder, 'repository'), environment: {} }
      : bucketPlace(bucket.access, bucket.name, `restic-${name}`)
  const env = {
    ...machineEnvironment(),
    RESTIC_PROGRESS_FPS: '0',
    RESTIC_PASSWORD_FILE: passwordFile,
    RESTIC_REPOSITORY: place.repository,
    RESTIC_CACHE_DIR: join(folder, 'cache'),
    ...place.environment,
  }
  const restic = (...words: string[]) => measureProgram(resticProgram(), words, env)
  try {
    await restic('init', '--repository-version', '2')
    const first = await restic('backup', '--quiet', tree)
    const storedBytes = await (bucket === undefined
      ? sizeOf(place.repository)
      : bucketSize(bucket.access, bucket.name, `repositories/restic-${name}/`))
    const again = await restic('backup', '--quiet', tree)
    const target = join(folder, 'restored')
    const restore = await restic('restore', 'latest', '--target', target)
    requireEqual(tree, join(target, tree))
    return {
      storedBytes,
      deeds: { 'first backup': first, 'unchanged run': again, restore },
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A fast restore of something else is no restore. */
function requireEqual(source: string, restored: string): void {
  if (!existsSync(restored)) throw new Error(`nothing was restored to ${restored}`)
  const { differences } = compareTrees(source, restored, { ignore: ['allocation-grew'] })
  const [first] = differences
  if (first !== undefined)
    throw new Error(`${differences.length} differences after a restore: ${printDifference(first)}`)
}

/** Bytes of all files below a folder. */
export function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(folder, name)))
    .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0)
}

async function bucketSize(access: S3Access, Bucket: string, Prefix: string): Promise<number> {
  let size = 0
  let token: string | undefined
  do {
    const command = new ListObjectsV2Command({ Bucket, Prefix, ContinuationToken: token })
    const page = await access.client.send(command)
    for (const object of page.Contents ?? []) size += object.Size ?? 0
    token = page.NextContinuationToken
  } while (token !== undefined)
  return size
}
