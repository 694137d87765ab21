// The product as a user starts it: `holdfast up` as processes, and the command with `--json`.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { machineEnvironment, projectRoot } from '../rig/machine.ts'

export interface ProductOptions {
  /** Directory for everything; made if absent. */
  readonly data: string
  /** TCP port on loopback. */
  readonly port: number
  /** Name of the host in the fleet. */
  readonly name: string
  /** `unix://…`, or undefined for the engine the environment names. */
  readonly dockerHost?: string | undefined
  readonly environment?: Readonly<Record<string, string>>
}

/** What one command printed, one object per line, and how it ended. */
export interface Ran {
  readonly exitCode: number
  readonly json: readonly Record<string, unknown>[]
  readonly stderr: string
}

export interface Product {
  readonly url: string
  readonly token: string
  readonly recoveryKit: string
  readonly up: ChildProcess
  /** What control plane and agent logged so far. */
  log(): string
  /** Runs `holdfast --json <words>`. */
  attempt(...words: string[]): Promise<Ran>
  /** The same, rejecting unless it ended with 0. The last object it printed. */
  run(...words: string[]): Promise<Record<string, unknown>>
  /** Ends both and waits until they are gone. */
  stop(): Promise<void>
}

const command = join(projectRoot, 'control-plane/cli/main.ts')

/** Characters of log that are kept for error messages. */
const KEPT_LOG = 65_536

/** Starts `holdfast up` and waits until it says that it runs. Rejects with its log if it ends before. */
export async function startProduct(options: ProductOptions): Promise<Product> {
  const environment: NodeJS.ProcessEnv = {
    ...machineEnvironment(),
    HOLDFAST_CLIENT_FILE: join(options.data, 'client.json'),
    ...(options.dockerHost === undefined ? {} : { DOCKER_HOST: options.dockerHost }),
    ...options.environment,
  }
  const words = [
    'up',
    '--data',
    options.data,
    '--listen',
    `127.0.0.1:${options.port}`,
    '--name',
    options.name,
  ]
  const up = spawn(process.execPath, [command, '--json', ...words], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  up.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-KEPT_LOG)
  })
  const lines = createInterface({ input: up.stdout })
  const first = await Promise.race([
    once(lines, 'line').then(([line]) => line as string),
    once(up, 'exit').then(([code]) => {
      throw new Error(`holdfast up ended with ${code}:\n${log}`)
    }),
  ])
  const said = JSON.parse(first) as { url: string; token?: string; recoveryKit?: string }

  async function attempt(...args: string[]): Promise<Ran> {
    const child = spawn(process.execPath, [command, '--json', ...args], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const [code] = (await once(child, 'close')) as [number | null]
    const json = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    return { exitCode: code ?? 1, json, stderr }
  }
  return {
    url: said.url,
    token: said.token ?? '',
    recoveryKit: said.recoveryKit ?? '',
    up,
    log: () => log,
    attempt,
    async run(...args) {
      const ran = await attempt(...args)
      const last = ran.json.at(-1)
      if (ran.exitCode === 0 && last !== undefined) return last
      const printed = last === undefined ? '' : `\n${JSON.stringify(last)}`
      throw new Error(
        `holdfast ${args.join(' ')} ended with ${ran.exitCode}: ${ran.stderr}${printed}\n--- log:\n${log.slice(-8_192)}`,
      )
    },
    async stop() {
      if (up.exitCode !== null || up.signalCode !== null) return
      up.kill('SIGTERM')
      await once(up, 'exit')
    },
  }
}
