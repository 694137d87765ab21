// Stock restic, the judge of every repository.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram, machineEnvironment } from './machine.ts'

export interface ResticRun {
  /** restic's own: 0 ok, 1 failed, 3 incomplete backup, 10 no repository, 11 lock, 12 wrong password. */
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  /** Every line or whole of stdout that is JSON, in order. */
  readonly json: readonly unknown[]
}

/** A snapshot as `restic snapshots --json` lists it; the fields tests look at. */
export interface ResticSnapshot {
  readonly id: string
  readonly short_id: string
  readonly time: string
  readonly tree: string
  readonly paths: readonly string[]
  readonly hostname: string
  readonly username?: string
  readonly tags?: readonly string[]
  readonly parent?: string
  readonly original?: string
}

export interface ResticOptions {
  /** As restic's `-r`: a folder, `s3:http://127.0.0.1:…/bucket/prefix`, `rest:…`. */
  readonly repository: string
  readonly password: string
  /** More environment, e.g. AWS_ACCESS_KEY_ID. */
  readonly environment?: Readonly<Record<string, string>>
}

export interface Restic {
  /** Runs `restic <words>` and resolves however it ended. */
  attempt(...words: string[]): Promise<ResticRun>
  /** Runs `restic <words>` and rejects, with restic's own words, unless it ended with 0. */
  run(...words: string[]): Promise<ResticRun>
  init(): Promise<void>
  /** Resolves to the id of the new snapshot. `words` go before the paths, e.g. `--exclude`, `--host`. */
  backup(paths: readonly string[], ...words: string[]): Promise<string>
  /** `check`, by default with `--read-data`. Rejects when restic finds anything wrong. */
  check(options?: { readData?: boolean; noLock?: boolean }): Promise<void>
  /** Restores into `target`, below which the snapshot's absolute paths appear. */
  restore(snapshot: string, target: string, ...words: string[]): Promise<void>
  snapshots(...words: string[]): Promise<ResticSnapshot[]>
  /** Ids of `blobs`, `packs`, `index`, `snapshots`, `keys` or `locks`. */
  list(kind: string): Promise<string[]>
  /** Removes the password file. */
  close(): void
}

/** RESTIC_BIN, or what is on the path. Throws if there is none. */
export function resticProgram(): string {
  const program = process.env.RESTIC_BIN || findProgram('restic')
  if (!program) throw new Error('restic is not installed')
  return program
}

/** The version as restic says it, e.g. `0.14.0`. */
export async function resticVersion(): Promise<string> {
  const { stdout } = await execute(['version'], {})
  const version = /restic (\d+\.\d+\.\d+)/.exec(stdout)?.[1]
  if (version === undefined) throw new Error(`restic gave no version: ${stdout}`)
  return version
}

/** Stock restic on one repository, without a cache, so that it reads what is really stored. */
export function createRestic(options: ResticOptions): Restic {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-restic-'))
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, options.password, { mode: 0o600 })
  const environment = {
    ...options.environment,
    RESTIC_REPOSITORY: options.repository,
    RESTIC_PASSWORD_FILE: passwordFile,
  }
  const attempt = (...words: string[]) => execute(['--no-cache', ...words], environment)
  const run = async (...words: string[]) => {
    const ended = await attempt(...words)
    if (ended.exitCode === 0) return ended
    const complaint = [ended.stderr, ended.stdout].join('\n').trim().slice(-4_000)
    throw new Error(`restic ${words.join(' ')} ended with ${ended.exitCode}:\n${complaint}`)
  }
  return {
    attempt,
    run,
    async init() {
      await run('init', '--repository-version', '2')
    },
    async backup(paths, ...words) {
      const { json } = await run('backup', '--json', ...words, ...paths)
      const summary = json.find(
        (line): line is { snapshot_id: string } =>
          typeof line === 'object' && line !== null && 'snapshot_id' in line,
      )
      if (summary === undefined) throw new Error('restic backup printed no snapshot id')
      // restic before 0.15 prints a short id here; the listing knows the whole one.
      const all = (await run('snapshots', '--json', summary.snapshot_id)).json[0]
      return (all as ResticSnapshot[])[0]?.id ?? summary.snapshot_id
    },
    async check({ readData = true, noLock = false } = {}) {
      await run('check', ...(readData ? ['--read-data'] : []), ...(noLock ? ['--no-lock'] : []))
    },
    async restore(snapshot, target, ...words) {
      const ended = await run('restore', snapshot, '--target', target, ...words)
      // restic 0.14 ends with 0 although single files failed; it says so on stderr.
      if (/ignoring error|There were \d+ errors/.test(ended.stderr)) throw new Error(ended.stderr)
    },
    async snapshots(...words) {
      return ((await run('snapshots', '--json', ...words)).json[0] ?? []) as ResticSnapshot[]
    },
    async list(kind) {
      const { stdout } = await run('--quiet', 'list', kind)
      return stdout.split('\n').filter((line) => line !== '')
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function execute(words: string[], environment: Record<string, string>): Promise<ResticRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(resticProgram(), words, {
      env: { ...machineEnvironment(), RESTIC_PROGRESS_FPS: '0', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout.on('data', (chunk) => stdout.push(chunk))
    child.stderr.on('data', (chunk) => stderr.push(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const out = Buffer.concat(stdout).toString()
      resolve({
        // A signal's conventional exit code is beyond 128; -1 says that there was none.
        exitCode: code ?? -1,
        stdout: out,
        stderr: Buffer.concat(stderr).toString() + (signal ? `\nended by ${signal}` : ''),
        json: parse(out),
      })
    })
  })
}

function parse(text: string): unknown[] {
  const values = (candidate: string) => {
    try {
      return [JSON.parse(candidate) as unknown]
    } catch {
      return []
    }
  }
  const whole = values(text)
  return whole.length > 0 ? whole : text.split('\n').flatMap(values)
}
