// Our engine on a directory: each deed a process of its own, from its start to its end, Node's start included.
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { uuid } from '../mover/drive.ts'
import { machineEnvironment } from '../rig/machine.ts'
import { type Contender, sizeOf } from './contender.ts'
import type { Order, Result } from './engine.ts'
import { measureProgram, type Ran } from './measure.ts'
import { judgeWith, type StockRestic } from './stock-restic.ts'

const engineFile = fileURLToPath(new URL('./engine.ts', import.meta.url))
/** As the supervisor starts a mover. */
const NODE_WORDS = ['--max-semi-space-size=4', '--single-threaded-gc', '--no-incremental-marking']

export interface EngineOptions {
  /** Judges what we wrote. */
  readonly restic: StockRestic
  /** A folder that does not exist yet, of this contender alone. */
  readonly folder: string
  readonly tree: string
  /** Where Node keeps compiled modules, as a host does from one mover to the next. */
  readonly code: string
  /** Write CPU profiles below this folder: one folder for each deed, whose names sort as they were done. */
  readonly profile?: string
}

/** Makes a repository. */
export async function startEngine(options: EngineOptions): Promise<Contender> {
  const { restic, folder, tree, code, profile } = options
  mkdirSync(folder)
  const repository = join(folder, 'repository')
  const paths = { cache: join(folder, 'cache'), work: join(folder, 'work') }
  for (const path of Object.values(paths)) mkdirSync(path)
  const password = randomBytes(32).toString('base64url')
  const recipient = await identityToRecipient(await generateX25519Identity())
  const source = { kind: 'directory', path: tree } as const
  let parent: string | undefined
  let runs = 0

  async function run(
    parameters: Order['parameters'],
    path: string | undefined,
    input?: number,
  ): Promise<Ran> {
    const order: Order = {
      repository,
      password,
      recipient,
      paths,
      job: uuid(),
      parameters,
      ...(path === undefined ? {} : { path }),
    }
    const file = join(folder, 'order.json')
    writeFileSync(file, JSON.stringify(order), { mode: 0o600 })
    const into = join(profile ?? '', String(++runs).padStart(3, '0'))
    const profiled = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${into}`]
    const env = { ...machineEnvironment(), NODE_COMPILE_CACHE: code }
    const words = [...NODE_WORDS, ...profiled, engineFile, file]
    const ran = await measureProgram(process.execPath, words, {
      env,
      ...(input === undefined ? {} : { input }),
    })
    const { end, snapshot, logs } = JSON.parse(ran.stdout) as Result
    if (end.outcome !== 'succeeded') {
      throw new Error(`${parameters.kind}: ${JSON.stringify(end)} ${logs.join('; ')}`)
    }
    parent = snapshot ?? parent
    return ran
  }

  await run({ kind: 'init' }, undefined)
  return {
    backup: () =>
      run(
        {
          kind: 'backup',
          source,
          time: new Date().toISOString(),
          ...(parent === undefined ? {} : { parent }),
          tags: [],
          volatile: [],
          readAll: false,
        },
        tree,
      ),
    backupStream: (input) => run({ kind: 'stream', name: 'd' }, undefined, input),
    async restore(target) {
      if (parent === undefined) throw new Error('nothing was backed up yet')
      mkdirSync(target)
      const place = { kind: 'directory', path: target } as const
      const parameters = { kind: 'restore', snapshot: parent, source, target: place } as const
      const deed = await run({ ...parameters, paths: [] }, target)
      return { ...deed, tree: target }
    },
    verify: () => run({ kind: 'verify', readData: true }, undefined),
    storedBytes: async () => sizeOf(repository),
    judge: () => judgeWith(restic, folder, { repository, environment: {} }, password),
    async close() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
