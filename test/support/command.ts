// `holdfast` as a program runs it: words in, one JSON object per line out.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { cacheDirectory, projectRoot } from '../rig/machine.ts'

export type Words = readonly string[]
export type JsonObject = Record<string, unknown>

/** What one command printed, one object per line, and how it ended. */
export interface Ran {
  readonly exitCode: number
  readonly json: readonly JsonObject[]
  readonly stdout: Buffer
  readonly stderr: string
}

export interface HoldfastCommand {
  /** Runs `holdfast --json <words>` and resolves however it ended. */
  attempt(...words: string[]): Promise<Ran>
  /** The same, rejecting unless it ended with 0. The last object it printed. */
  run(...words: string[]): Promise<JsonObject>
  /** The same with all objects. */
  list(...words: string[]): Promise<readonly JsonObject[]>
  /** The same command with more, or other, variables, e.g. another token. */
  as(more: NodeJS.ProcessEnv): HoldfastCommand
}

/** Compiled modules are kept: a test runs the command dozens of times. */
const compiled = join(cacheDirectory, 'compiled')

export const commandFile = join(projectRoot, 'control-plane/cli/main.ts')

/** `log` is asked for what the processes behind it said, for the text of rejections. */
export function createCommand(environment: NodeJS.ProcessEnv, log: () => string): HoldfastCommand {
  async function attempt(...words: string[]): Promise<Ran> {
    const child = spawn(process.execPath, [commandFile, '--json', ...words], {
      env: { NODE_COMPILE_CACHE: compiled, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const pieces: Buffer[] = []
    let stderr = ''
    child.stdout.on('data', (piece: Buffer) => pieces.push(piece))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const [code] = (await once(child, 'close')) as [number | null]
    const stdout = Buffer.concat(pieces)
    return { exitCode: code ?? 1, json: objectsOf(stdout), stdout, stderr }
  }
  async function list(...words: string[]): Promise<readonly JsonObject[]> {
    const ran = await attempt(...words)
    if (ran.exitCode === 0) return ran.json
    const last = ran.json.at(-1)
    const printed = last === undefined ? '' : `\n${JSON.stringify(last)}`
    throw new Error(
      `holdfast ${words.join(' ')} ended with ${ran.exitCode}: ${ran.stderr}${printed}\n--- log:\n${log().slice(-8_192)}`,
    )
  }
  return {
    attempt,
    list,
    async run(...words) {
      const last = (await list(...words)).at(-1)
      if (last === undefined) throw new Error(`holdfast ${words.join(' ')} printed nothing`)
      return last
    },
    as: (more) => createCommand({ ...environment, ...more }, log),
  }
}

/** Lines that are objects; `dump` and exports print other bytes. */
function objectsOf(stdout: Buffer): JsonObject[] {
  return stdout
    .toString()
    .split('\n')
    .flatMap((line) => {
      try {
        const value: unknown = JSON.parse(line)
        return typeof value === 'object' && value !== null ? [value as JsonObject] : []
      } catch {
        return []
      }
    })
}
