// An index of millions of blobs, made and opened by a process of its own.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fullIndex } from '../../agent/repository/index-file.ts'

export interface Opened {
  readonly blobs: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** What the index says it holds, in bytes. */
  readonly indexBytes: number
  /** Resident before and at the peak, in bytes. */
  readonly before: number
  readonly peak: number
}

const script = new URL('./open-many-blobs.ts', import.meta.url).pathname
const run = promisify(execFile)

/** Full index files with `blobs` blobs in all, kept on disk, then opened as every run of a host begins. */
export async function openManyBlobs(blobs: number): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-many-blobs-'))
  try {
    const words = [script, folder, `${blobs / fullIndex}`]
    await run(process.execPath, [...words, 'make'])
    const { stdout } = await run(process.execPath, [...words, 'open'])
    return JSON.parse(stdout) as Opened
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
