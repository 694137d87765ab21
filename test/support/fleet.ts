// A control plane and its hosts as processes on this machine, in one scratch folder, taken away whole at the end.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Docker from 'dockerode'
import { noTraces, remember } from '../rig/leftovers.ts'
import { machineEnvironment, projectRoot } from '../rig/machine.ts'
import type { DockerPart } from '../rig/parts.ts'
import { freePorts } from '../rig/ports.ts'
import { createRestic, type Restic } from '../rig/restic.ts'
import type { S3Credentials } from '../rig/s3-access.ts'
import { agentCommand, eventually, type RunningAgent, startAgent } from './agent-process.ts'
import { commandFile, createCommand, type HoldfastCommand, type JsonObject } from './command.ts'

type Environment = Readonly<Record<string, string>>

/** A job as `--json` prints it: the fields tests look at. */
export interface Job {
  readonly id: string
  readonly kind: string
  readonly state: string
  readonly source: string | null
  readonly attempt: number
  readonly outcome: string | null
  readonly reason: string | null
  readonly message: string | null
  readonly snapshot: string | null
  readonly hasReport: boolean
  readonly slotAt: string | null
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly counts: Readonly<Record<string, number>> | null
}

export interface FleetOptions {
  readonly docker?: DockerPart
  /** For the control plane. */
  readonly environment?: Environment
  /** For the command, e.g. HOLDFAST_CA_FILE. */
  readonly client?: Environment
  /** Where hosts and people reach it, e.g. through a proxy of the test. Default: where it listens. */
  readonly publicUrl?: string
  /** TCP port on loopback. Default: any. */
  readonly port?: number
}

export interface HostOptions {
  /** Name of the vault of its repository. Default: the default vault. */
  readonly vault?: string
  /** For the agent, at its enrolment and whenever it runs. */
  readonly environment?: Environment
  /** Directories it offers for backup. */
  readonly directories?: readonly string[]
  /** Where it keeps its state. Default: a folder of the fleet. */
  readonly state?: string
  /** A program that becomes the running agent, with its words, e.g. `unshare`. */
  readonly through?: readonly string[]
}

export interface Volume {
  readonly name: string
  readonly path: string
}

/** Where a repository lies, as restic's `-r` takes it, and what it needs to get there. */
export interface Place {
  readonly repository: string
  readonly environment: Environment
}

export interface FleetHost {
  readonly name: string
  readonly id: string
  readonly repository: string
  /** The age recipient that the agent shows. */
  readonly recipient: string
  readonly state: string
  readonly agent: RunningAgent
  /** The host's own password of its repository. */
  password(): string
  /** Number of the mover that works now, or undefined. */
  mover(): number | undefined
  /** SIGKILL to the supervisor alone. */
  kill(): Promise<void>
  start(): void
  stop(): Promise<void>
  /** Resolves once the control plane knows of this source, e.g. `volume:pgdata`. */
  offers(source: string): Promise<void>
  /** Backs up and waits for the end, whatever it is. `source` as `volume:…` or `directory:…`. */
  backup(source: string, ...words: string[]): Promise<Job>
}

export interface Fleet extends HoldfastCommand {
  /** Everything of it; tests may put things here. */
  readonly folder: string
  readonly data: string
  readonly url: string
  readonly port: number
  readonly token: string
  readonly recovery: { readonly file: string; readonly recipient: string }
  log(): string
  planeId(): number
  killPlane(): Promise<void>
  startPlane(): Promise<void>
  host(name: string, options?: HostOptions): Promise<FleetHost>
  /** Runs `holdfast <words>` that end with a job; whatever its outcome. */
  job(...words: string[]): Promise<Job>
  /** A volume of a name of its own that begins with `name`; removed at the end. */
  volume(name: string, options?: Docker.VolumeCreateOptions): Promise<Volume>
  /** A name for a volume that a restore will make; removed at the end. */
  futureVolume(name: string): string
  mountpoint(volume: string): Promise<string>
  /** Adds a bucket as a vault. */
  addVault(name: string, store: S3Credentials, bucket: string): Promise<JsonObject>
  /** Stock restic on the repository of a host: on the local vault, or in a bucket. */
  restic(host: FleetHost, place?: Place): Restic
  stop(): Promise<void>
}

const planeFile = join(projectRoot, 'control-plane/node/main.ts')
const moverFile = 'agent/mover/main.ts'

/** Characters of log that are kept for error messages. */
const KEPT_LOG = 262_144

export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-fleet-'))
  const remembered = remember({
    ...noTraces,
    what: 'a fleet of a test',
    marks: [folder],
    folders: [folder],
  })
  const data = join(folder, 'plane')
  const tag = folder.slice(-6).toLowerCase()
  const port = options.port ?? (await freePorts(1))[0]!
  const own = `${options.environment?.HOLDFAST_TLS_CERT_FILE === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  const url = options.publicUrl ?? own
  const environment: NodeJS.ProcessEnv = {
    ...machineEnvironment(),
    HOLDFAST_DATA: data,
    HOLDFAST_LISTEN: `127.0.0.1:${port}`,
    HOLDFAST_CLIENT_FILE: join(folder, 'client.json'),
    ...(options.publicUrl === undefined ? {} : { HOLDFAST_PUBLIC_URL: url }),
    ...options.environment,
  }
  let log = ''
  const hosts: FleetHost[] = []
  const volumes = new Set<string>()
  const judges: Restic[] = []
  const logs = () =>
    [log, ...hosts.map(({ name, agent }) => `--- ${name}:\n${agent.output()}`)].join('\n')
  const command = createCommand({ ...environment, HOLDFAST_URL: own, ...options.client }, logs)
  let plane: ChildProcess | undefined

  async function startPlane(): Promise<void> {
    // Its folder is in the line, so that it is found and ended should this process die.
    const child = spawn(process.execPath, [`--title=holdfast ${folder}`, planeFile], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-KEPT_LOG)
      })
    }
    plane = child
    const ready = options.client === undefined ? askReady : askByCommand
    await eventually(
      'the control plane answered',
      async () => {
        if (child.exitCode !== null) throw new Error(`the control plane ended:\n${log}`)
        return ready()
      },
      60,
    )
  }
  const askReady = () =>
    fetch(`${own}/health/ready`).then(
      (answer) => answer.ok,
      () => false,
    )
  const askByCommand = async () => (await command.attempt('hosts')).exitCode === 0

  async function killPlane(): Promise<void> {
    const child = plane
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  async function host(name: string, wishes: HostOptions = {}): Promise<FleetHost> {
    const { vault, directories, state = join(folder, `host-${name}`) } = wishes
    const env = {
      ...(options.docker === undefined ? {} : { DOCKER_HOST: options.docker.host }),
      ...wishes.environment,
    }
    mkdirSync(state, { recursive: true, mode: 0o700 })
    const allowed = { restoreDirectories: ['/'], inPlace: true, browseFiles: true }
    writeFileSync(join(state, 'host.yaml'), JSON.stringify({ directories, ...allowed }))
    const { token } = await command.run('enroll-token', ...(vault ? ['--vault', vault] : []))
    const words = ['enroll', '--url', url, '--name', name, '--state', state]
    const enrolled = await agentCommand([...words, '--recovery', recovery.recipient], {
      input: `${token}\n`,
      env,
    })
    if (enrolled.code !== 0) throw new Error(`enrolment of ${name} failed: ${enrolled.stderr}`)
    const said = JSON.parse(enrolled.stdout) as Record<'host' | 'repository' | 'recipient', string>
    const { through = [] } = wishes
    const start = () => startAgent(state, { env, realMover: true, through })
    let agent = start()
    const made: FleetHost = {
      name,
      id: said.host,
      repository: said.repository,
      recipient: said.recipient,
      state,
      get agent() {
        return agent
      },
      password: () => readFileSync(join(state, 'repository.password'), 'utf8').trim(),
      mover: () => childOf(agent.pid, moverFile),
      kill: () => agent.kill(),
      start() {
        agent = start()
      },
      async stop() {
        if (agent.child.exitCode === null && agent.child.signalCode === null) await agent.stop()
      },
      async offers(source) {
        await eventually(
          `${name} offers ${source}`,
          async () =>
            (await command.list('sources', '--host', name)).some((one) => one.source === source),
          30,
        )
      },
      async backup(source, ...more) {
        const [kind, ...rest] = source.split(':')
        return job('backup', '--host', name, `--${kind}`, rest.join(':'), ...more)
      },
    }
    hosts.push(made)
    return made
  }

  async function job(...words: string[]): Promise<Job> {
    const ran = await command.attempt(...words)
    const last = ran.json.at(-1)
    if (last !== undefined && 'outcome' in last) return last as unknown as Job
    throw new Error(
      `holdfast ${words.join(' ')} ended with ${ran.exitCode} and without a job: ${ran.stderr}\n--- log:\n${logs().slice(-8_192)}`,
    )
  }

  function futureVolume(name: string): string {
    const whole = `${name}-${tag}`
    volumes.add(whole)
    return whole
  }
  const engine = () => {
    if (options.docker === undefined) throw new Error('this fleet has no Docker engine')
    return options.docker.connect()
  }
  const mountpoint = async (name: string) => (await engine().getVolume(name).inspect()).Mountpoint

  async function stop(): Promise<void> {
    await Promise.all(hosts.map((one) => one.stop()))
    await killPlane()
    for (const judge of judges) judge.close()
    for (const name of volumes) {
      await engine()
        .getVolume(name)
        .remove({ force: true })
        .catch((error: { statusCode?: number }) => {
          if (error.statusCode !== 404) throw error
        })
    }
    await remembered.clear()
  }

  let token = ''
  let recovery = { file: join(folder, 'recovery-kit.txt'), recipient: '' }
  try {
    const init = spawn(process.execPath, [commandFile, '--json', 'serve', '--init'], {
      env: environment,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    init.stdout.on('data', (text) => {
      said += text
    })
    await once(init, 'close')
    token = (JSON.parse(said) as { token: string }).token
    await startPlane()
    const kit = await command.run('recovery', 'kit', '--out', recovery.file)
    recovery = { ...recovery, recipient: kit.recipient as string }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    ...command,
    folder,
    data,
    url,
    port,
    token,
    recovery,
    log: logs,
    planeId: () => plane?.pid ?? 0,
    killPlane,
    startPlane,
    host,
    job,
    futureVolume,
    mountpoint,
    async volume(name, wishes = {}) {
      const whole = futureVolume(name)
      await engine().createVolume({ Name: whole, ...wishes })
      return { name: whole, path: await mountpoint(whole) }
    },
    addVault(name, { endpoint, region, accessKeyId, secretAccessKey }, bucket) {
      const keys = {
        HOLDFAST_VAULT_ACCESS_KEY_ID: accessKeyId,
        HOLDFAST_VAULT_SECRET_ACCESS_KEY: secretAccessKey,
      }
      const words = ['--endpoint', endpoint, '--region', region, '--bucket', bucket]
      return command.as(keys).run('vault', 'add', name, ...words)
    },
    restic(one, place) {
      const { repository, environment: keys } = place ?? {
        repository: diskRepository(data, one.repository),
        environment: {},
      }
      const judge = createRestic({ repository, password: one.password(), environment: keys })
      judges.push(judge)
      return judge
    },
    stop,
  }
}

/** Folder of a repository in whichever disk vault holds it. */
export function diskRepository(data: string, repository: string): string {
  for (const vault of readdirSync(join(data, 'vaults'))) {
    const folder = join(data, 'vaults', vault, 'repositories')
    if (readdirSync(folder).includes(repository)) return join(folder, repository)
  }
  throw new Error(`no disk vault below ${data} holds repository ${repository}`)
}

/** A repository in a bucket, for stock restic. */
export function bucketPlace(store: S3Credentials, bucket: string, repository: string): Place {
  return {
    repository: `s3:${store.endpoint}/${bucket}/repositories/${repository}`,
    environment: {
      AWS_ACCESS_KEY_ID: store.accessKeyId,
      AWS_SECRET_ACCESS_KEY: store.secretAccessKey,
      AWS_DEFAULT_REGION: store.region,
    },
  }
}

/** The child of `parent` whose command line contains `words`. */
export function childOf(parent: number, words: string): number | undefined {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return ''
    }
  }
  return read(`/proc/${parent}/task/${parent}/children`)
    .split(' ')
    .filter((text) => text.trim() !== '')
    .map(Number)
    .find((pid) => read(`/proc/${pid}/cmdline`).includes(words))
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}
