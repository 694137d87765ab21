// `holdfast-agent enroll`: keys made on this host, one call, one file.
import { hostname } from 'node:os'
import { ageRecipient } from '../../shared/backup/job.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { plainName } from '../../shared/ids.ts'
import { planeOrigin, readConfig, secretOf } from '../config/environment.ts'
import { readEnrolment, readHostRules } from '../config/files.ts'
import { enrol } from '../control/enrol.ts'
import { createPlaneHttp } from '../control/http-client.ts'
import { loadOrMakeIdentity, machineId } from '../control/identity.ts'
import { dockerAddress } from '../docker/address.ts'
import { connectEngine } from '../docker/engine.ts'
import { loadOrMakeHostKey } from '../jobs/passwords.ts'
import { openStateDirectory } from '../state/directory.ts'
import { createReserve } from '../state/reserve.ts'
import { writeWhole } from '../state/write-file.ts'
import { systemClock } from './system-clock.ts'
import { version } from './version.ts'

export interface EnrollOptions {
  readonly url?: string
  readonly name?: string
  readonly recovery?: string
  readonly state?: string
}

/** First line of stdin; with a prompt, and without showing what is typed, on a terminal. */
async function readToken(): Promise<string> {
  const terminal = process.stdin.isTTY
  if (terminal) {
    process.stderr.write('Enrolment token: ')
    process.stdin.setRawMode(true)
  }
  let text = ''
  try {
    for await (const chunk of process.stdin.setEncoding('utf8')) {
      text += chunk
      if (text.includes('\u0003')) throw new HoldfastError('cancelled', 'nothing was enrolled')
      if (/[\r\n]/.test(text) || text.length > 4_096) break
    }
  } finally {
    if (terminal) {
      process.stdin.setRawMode(false)
      process.stderr.write('\n')
    }
  }
  return text.split(/[\r\n]/)[0]!.trim()
}

/** Docker's own name for the host, so that snapshots carry what people see in `docker info`. */
async function defaultName(docker: ReturnType<typeof readConfig>['docker']): Promise<string> {
  const engine = await connectEngine(dockerAddress(docker))
  const name = await engine.info().then(
    (info) => info.name,
    () => hostname(),
  )
  return name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 64)
}

/** Enrol this host. Prints one line of JSON on stdout: host, name, repository, recipient. */
export async function enroll(options: EnrollOptions): Promise<void> {
  const environment = process.env
  const config = readConfig(environment)
  const url = options.url ?? environment.HOLDFAST_URL
  if (url === undefined) {
    throw new HoldfastError('invalid', '--url is missing', {
      hint: 'give the address of the control plane with --url or HOLDFAST_URL',
    })
  }
  const origin = planeOrigin(url)
  const { recovery } = options
  if (recovery !== undefined && !ageRecipient.safeParse(recovery).success) {
    throw new HoldfastError(
      'invalid',
      `--recovery: "${recovery}": must be an age recipient (age1…)`,
      {
        hint: 'use the recipient of your recovery kit, never its secret key',
      },
    )
  }
  const files = openStateDirectory(options.state ?? config.stateDirectory)
  const present = readEnrolment(files.agent)
  if (present !== undefined) {
    throw new HoldfastError('already-exists', `this host is enrolled already, as ${present.name}`, {
      hint: `to change its recovery recipient write it into ${files.host}; to enrol anew use an empty state directory`,
    })
  }
  const rules = await readHostRules(files.host, recovery)
  const name = plainName.safeParse(options.name ?? (await defaultName(config.docker)))
  if (!name.success) {
    throw new HoldfastError(
      'invalid',
      `--name: "${options.name ?? ''}": ${name.error.issues[0]!.message}`,
      {
        hint: 'choose a short name, like web-1',
      },
    )
  }
  const identity = loadOrMakeIdentity(files.identity)
  const hostKey = await loadOrMakeHostKey(files.hostKey)
  if (!createReserve(files.reserve).refill()) {
    throw new HoldfastError(
      'too-large',
      'the state directory has no room for the 64 MiB it keeps',
      {
        hint: 'free some space, or use another directory with --state',
      },
    )
  }
  const token = secretOf(environment, 'HOLDFAST_ENROLL_TOKEN') ?? (await readToken())
  if (token.length < 16) {
    throw new HoldfastError('invalid', 'the enrolment token is missing or too short', {
      hint: 'make one with: holdfast enroll-token',
    })
  }
  const answer = await enrol({
    http: createPlaneHttp({ origin, network: config.network, version }),
    identity,
    clock: systemClock,
    host: {
      token,
      name: name.data,
      machine: machineId(),
      ...(rules.recovery === undefined ? {} : { recovery: rules.recovery }),
      recipient: hostKey.recipient,
      version,
    },
  })
  // If we die here the token is used up and the host must be given a new one.
  const pinned = recovery === undefined ? {} : { recovery }
  writeWhole(files.agent, `${JSON.stringify({ url: origin, ...answer, ...pinned }, null, 2)}\n`)
  const { host, repository } = answer
  process.stdout.write(
    `${JSON.stringify({ host, name: answer.name, repository, recipient: hostKey.recipient })}\n`,
  )
  if (rules.recovery === undefined) {
    process.stderr.write(
      `This host has no recovery recipient, so it does not back up. Add "recovery: age1…" to ${files.host}.\n`,
    )
  }
}
