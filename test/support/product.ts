// The product as a user starts it: `holdfast up` as processes, and the command with `--json`.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { machineEnvironment } from '../rig/machine.ts'
import { commandFile, createCommand, type HoldfastCommand } from './command.ts'

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

export interface Product extends HoldfastCommand {
  readonly url: string
  readonly token: string
  readonly recoveryKit: string
  readonly up: ChildProcess
  /** What control plane and agent logged so far. */
  log(): string
  /** Ends both and waits until they are gone. */
  stop(): Promise<void>
}

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
  const up = spawn(process.execPath, [commandFile, '--json', ...words], {
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

  return {
    url: said.url,
    token: said.token ?? '',
    recoveryKit: said.recoveryKit ?? '',
    up,
    log: () => log,
    ...createCommand(environment, () => log),
    async stop() {
      if (up.exitCode !== null || up.signalCode !== null) return
      up.kill('SIGTERM')
      await once(up, 'exit')
    },
  }
}
