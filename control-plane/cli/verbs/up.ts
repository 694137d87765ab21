import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf, connect } from '../api.ts'
import { keepRunning, runOnce } from '../children.ts'
import type { Context } from '../context.ts'
import { agentProgram, environmentOf, planeProgram } from '../programs.ts'
import { makeRecoveryKit, readIdentities, recipientOf, writeKit } from '../recovery-kit.ts'
import { readSettings, type Settings, writeSettings } from '../settings.ts'
import { initialise } from './serve.ts'

/** How long the control plane may take until it answers, in ms: a slow disk, a loaded machine. */
const START_PATIENCE = 60_000

interface Options {
  data?: string
  listen?: string
  name?: string
}

interface Up {
  readonly url: string
  readonly data: string
  /** Shown at the first start only. */
  readonly token?: string
  readonly recoveryKit?: string
  readonly settings?: string
}

export function addUp(program: Command, context: () => Context): void {
  program
    .command('up')
    .description('Run a control plane and an agent for this host, everything embedded')
    .option('--data <directory>', 'where everything is kept (HOLDFAST_DATA)')
    .option('--listen <host:port>', 'where the control plane listens (HOLDFAST_LISTEN)')
    .option('--name <name>', 'name of this host; by default what `docker info` calls it')
    .action(async (options: Options) => up(context(), options))
}

/**
 * Every step can be repeated: what a start that died half-way has done is found done by the next one.
 */
async function up(context: Context, options: Options): Promise<void> {
  const { output, signal } = context
  const data = resolve(options.data ?? context.env.HOLDFAST_DATA ?? defaultData(context.env))
  const agentState = join(data, 'agent')
  await mkdir(data, { recursive: true, mode: 0o750 })
  const environment = {
    ...environmentOf(context.env),
    HOLDFAST_DATA: data,
    HOLDFAST_STATE_DIR: agentState,
    ...(options.listen === undefined ? {} : { HOLDFAST_LISTEN: options.listen }),
  }
  await allowEverything(agentState)
  const { url, token } = await initialise(environment, false)
  let result: Up = { url, data }
  if (token !== undefined)
    result = { ...result, token, settings: await writeSettings(context.env, { url, token }) }

  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const plane = keepRunning(planeProgram(environment), either, output.note)
  try {
    await untilReady(url, signal)
    if (!existsSync(join(agentState, 'agent.json'))) {
      const settings = token === undefined ? await readSettings(context.env) : { url, token }
      const recoveryKit = join(data, 'recovery-kit.txt')
      await enrolHere(settings, { environment, name: options.name, recoveryKit })
      result = { ...result, recoveryKit }
    }
    const agent = keepRunning(agentProgram(environment, ['run']), either, output.note)
    output.one(result, welcome(result))
    await Promise.all([plane, agent])
  } finally {
    stop.abort()
    await plane
  }
}

/** Here the control plane is this machine's own: what it may ask for needs no second word. Never overwritten. */
const HOST_RULES = `# Written by \`holdfast up\`: control plane and host are one machine.
# What the control plane may ask this host for; see agent/README.md.
restoreDirectories: ["/"]
inPlace: true
browseFiles: true
`

async function allowEverything(agentState: string): Promise<void> {
  await mkdir(agentState, { recursive: true, mode: 0o700 })
  await writeFile(join(agentState, 'host.yaml'), HOST_RULES, { mode: 0o600, flag: 'wx' }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    },
  )
}

function defaultData(env: NodeJS.ProcessEnv): string {
  if (process.getuid?.() === 0) return '/var/lib/holdfast'
  return join(env.XDG_DATA_HOME ?? join(env.HOME ?? homedir(), '.local', 'share'), 'holdfast')
}

async function untilReady(url: string, signal: AbortSignal): Promise<void> {
  const until = performance.now() + START_PATIENCE
  for (;;) {
    signal.throwIfAborted()
    const ready = await fetch(`${url}/health/ready`, { signal }).then(
      (response) => response.ok,
      () => false,
    )
    if (ready) return
    if (performance.now() > until) {
      throw new HoldfastError(
        'store-unavailable',
        `the control plane does not answer at ${url} after ${START_PATIENCE / 1_000} s`,
        {
          hint: 'its log is above; is the port taken by another program?',
        },
      )
    }
    await delay(100, undefined, { signal })
  }
}

/** A recovery kit, a one-time token, and the agent's own enrolment. The token travels in the child's environment. */
async function enrolHere(
  settings: Settings,
  options: { environment: Record<string, string>; name: string | undefined; recoveryKit: string },
): Promise<void> {
  const recovery = await recoveryRecipient(options.recoveryKit)
  const { token, url } = await answerOf(connect(settings)['enrolment-tokens'].$post({ json: {} }))
  const args = [
    'enroll',
    '--url',
    url,
    '--recovery',
    recovery,
    ...(options.name === undefined ? [] : ['--name', options.name]),
  ]
  const environment = { ...options.environment, HOLDFAST_ENROLL_TOKEN: token }
  const { code } = await runOnce(agentProgram(environment, args), '')
  if (code !== 0)
    throw new HoldfastError('internal', 'the agent could not enrol; its message is above')
}

/** The recipient of the kit in `file`, which is made if it is not there. */
async function recoveryRecipient(file: string): Promise<string> {
  if (existsSync(file)) {
    const [identity] = await readIdentities(file)
    return recipientOf(identity!)
  }
  const kit = await makeRecoveryKit()
  await writeKit(file, kit, new Date().toISOString())
  return kit.recipient
}

function welcome(result: Up): string {
  const lines = [`Control plane  ${result.url}`, `Data           ${result.data}`]
  if (result.token !== undefined)
    lines.push(
      `Admin token    ${result.token}   (shown once; ${result.settings} holds it for your commands)`,
    )
  if (result.recoveryKit !== undefined) {
    lines.push(
      `Recovery kit   ${result.recoveryKit}`,
      '',
      'MOVE THE RECOVERY KIT OFF THIS MACHINE: whoever has it reads your backups, and without it',
      'a lost machine cannot be restored. Keep two copies in safe places.',
      'The vault lies on this machine too: add a bucket with `holdfast vault add`.',
    )
  }
  lines.push('', 'Running; Ctrl-C stops both.')
  return lines.join('\n')
}
