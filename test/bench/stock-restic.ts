// Stock restic at its defaults: the newest one found, with its own cache, as people run it.
import { execFileSync } from 'node:child_process'
import { accessSync, constants, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { findProgram, machineEnvironment } from '../rig/machine.ts'
import { bucketPlace, type Place } from '../support/fleet.ts'
import { type Bucket, bucketSize, type Contender, sizeOf } from './contender.ts'
import { measureProgram } from './measure.ts'

export interface StockRestic {
  readonly program: string
  /** E.g. `0.19.1`. */
  readonly version: string
}

/** `RESTIC_BIN`, or the newest of those on the path. Throws if there is none. */
export function newestRestic(): StockRestic {
  const named = process.env.RESTIC_BIN
  const programs =
    named === undefined || named === ''
      ? (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'restic'))
      : [named]
  const found = [...new Set([...programs, ...(named ? [] : [findProgram('restic') ?? ''])])]
    .filter(isProgram)
    .map((program) => ({ program, version: versionOf(program) }))
    .toSorted((a, b) => compareVersions(b.version, a.version))
  const [newest] = found
  if (newest === undefined) throw new Error(`no restic at ${named ?? 'any place on the path'}`)
  return newest
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function versionOf(program: string): string {
  const said = execFileSync(program, ['version'], { encoding: 'utf8' })
  const version = /restic (\d+\.\d+\.\d+)/.exec(said)?.[1]
  if (version === undefined) throw new Error(`${program} gave no version: ${said}`)
  return version
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)]
  return left.map((part, i) => part - (right[i] ?? 0)).find((part) => part !== 0) ?? 0
}

export const resticPassword = 'correct horse battery staple'

/** Runs `restic check` on whoever's repository; rejects when it finds anything wrong. */
export async function judgeWith(
  restic: StockRestic,
  folder: string,
  { repository, environment }: Place,
  password: string,
): Promise<void> {
  const passwordFile = join(folder, 'judge.password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  const env = {
    ...machineEnvironment(),
    ...environment,
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD_FILE: passwordFile,
  }
  await measureProgram(restic.program, ['--no-cache', '--no-lock', 'check'], { env })
}

/** Makes a repository; `tree` is what it will keep. */
export async function startRestic(options: {
  restic: StockRestic
  /** A folder that does not exist yet, of this contender alone. */
  folder: string
  tree: string
  bucket?: Bucket
}): Promise<Contender> {
  const { restic, folder, tree, bucket } = options
  mkdirSync(folder)
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, resticPassword, { mode: 0o600 })
  const prefix = `restic-${folder.split('/').at(-1)}`
  const place =
    bucket === undefined
      ? { repository: join(folder, 'repository'), environment: {} }
      : bucketPlace(bucket.rgw, bucket.name, prefix)
  const env = {
    ...machineEnvironment(),
    RESTIC_REPOSITORY: place.repository,
    RESTIC_PASSWORD_FILE: passwordFile,
    RESTIC_CACHE_DIR: join(folder, 'cache'),
    ...place.environment,
  }
  const run = (words: string[], input?: number) =>
    measureProgram(restic.program, words, input === undefined ? { env } : { env, input })
  await run(['init', '--repository-version', '2'])
  return {
    backup: () => run(['backup', '--quiet', tree]),
    backupStream: (input) => run(['backup', '--quiet', '--stdin', '--stdin-filename', 'd'], input),
    async restore(target) {
      const deed = await run(['restore', 'latest', '--target', target])
      return { ...deed, tree: join(target, tree) }
    },
    verify: () => run(['check', '--read-data']),
    storedBytes: async () =>
      bucket === undefined
        ? sizeOf(place.repository)
        : bucketSize(bucket, `repositories/${prefix}/`),
    judge: () => judgeWith(restic, folder, place, resticPassword),
    async close() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
