// What the environment says, read once.
import { readFileSync } from 'node:fs'
import * as z from 'zod'
import { HoldfastError } from '../../shared/errors.ts'
import { DEFAULT_STATE_DIRECTORY } from '../state/directory.ts'
import type { Network } from '../storage/dispatcher.ts'
import { isLoopback } from '../storage/loopback.ts'
import { settingError } from './setting-error.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Set and not empty. */
function given(environment: Environment, name: string): string | undefined {
  const value = environment[name]
  return value === undefined || value === '' ? undefined : value
}

/** The value of secret `name`, or the content of the file that `<name>_FILE` names; both at once is a mistake. */
export function secretOf(environment: Environment, name: string): string | undefined {
  const value = given(environment, name)
  const file = given(environment, `${name}_FILE`)
  if (value !== undefined && file !== undefined) {
    throw new HoldfastError('invalid', `${name} and ${name}_FILE are both set`, {
      hint: 'unset one of them',
    })
  }
  if (file === undefined) return value
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    throw new HoldfastError('invalid', `${name}_FILE: "${file}": cannot be read: ${code}`, {
      hint: 'name a file that the agent may read',
    })
  }
}

const absolute = z.string().startsWith('/', 'must be an absolute path')

const settings = z.object({
  HOLDFAST_STATE_DIR: absolute.default(DEFAULT_STATE_DIRECTORY),
  HOLDFAST_CA_FILE: absolute.optional(),
  HOLDFAST_VOLUMES_ROOT: absolute.optional(),
  HOLDFAST_LOG_LEVEL: z
    .enum(['error', 'warn', 'info', 'silent'], 'must be one of error, warn, info, silent')
    .default('info'),
})

export interface Config {
  readonly stateDirectory: string
  readonly network: Network
  readonly docker: { host: string | undefined; tls: boolean; certificates: string | undefined }
  /** Where the engine's folder of volumes shows, if not where it can be found. */
  readonly volumesRoot: string | undefined
  readonly logLevel: 'error' | 'warn' | 'info' | 'silent'
}

/** Upper-case names win over lower-case ones, as in most programs that know both. */
function networkOf(environment: Environment, caFile: string | undefined): Network {
  const either = (name: string) =>
    given(environment, name) ?? given(environment, name.toLowerCase())
  const proxy = secretOf(environment, 'HTTPS_PROXY') ?? given(environment, 'https_proxy')
  if (proxy !== undefined && !/^https?:$/.test(URL.parse(proxy)?.protocol ?? '')) {
    throw new HoldfastError('invalid', 'HTTPS_PROXY: must be an http:// or https:// URL', {
      hint: 'for example http://user:password@proxy.example:3128',
    })
  }
  const noProxy = either('NO_PROXY')
  return {
    ...(proxy === undefined ? {} : { proxy }),
    ...(noProxy === undefined ? {} : { noProxy }),
    ...(caFile === undefined ? {} : { caFile }),
  }
}

/** Throws `invalid` naming the variable, its value (unless it may be secret), the rule and the remedy. */
export function readConfig(environment: Environment): Config {
  const values = Object.fromEntries(
    Object.keys(settings.shape).map((name) => [name, given(environment, name)]),
  )
  const parsed = settings.safeParse(values)
  if (!parsed.success) {
    throw settingError('environment', parsed.error, values, 'correct the variable or unset it')
  }
  const { data } = parsed
  if (data.HOLDFAST_CA_FILE !== undefined)
    requireReadable('HOLDFAST_CA_FILE', data.HOLDFAST_CA_FILE)
  return {
    stateDirectory: data.HOLDFAST_STATE_DIR,
    network: networkOf(environment, data.HOLDFAST_CA_FILE),
    docker: {
      host: given(environment, 'DOCKER_HOST'),
      tls: given(environment, 'DOCKER_TLS_VERIFY') !== undefined,
      certificates: given(environment, 'DOCKER_CERT_PATH'),
    },
    volumesRoot: data.HOLDFAST_VOLUMES_ROOT,
    logLevel: data.HOLDFAST_LOG_LEVEL,
  }
}

function requireReadable(name: string, file: string): void {
  try {
    readFileSync(file)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    throw new HoldfastError('invalid', `${name}: "${file}": cannot be read: ${code}`, {
      hint: 'name a PEM file that the agent may read',
    })
  }
}

/** The origin of the control plane: `https:`, or `http:` on loopback alone. Throws `invalid`. */
export function planeOrigin(text: string): string {
  const url = URL.parse(text)
  const hint = { hint: 'use the address the control plane prints, like https://holdfast.example' }
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new HoldfastError('invalid', `--url: "${text}": must be an https:// URL`, hint)
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new HoldfastError(
      'invalid',
      `--url: "${url.origin}": plain http is allowed to loopback alone`,
      { hint: 'give the control plane a certificate, and use https://' },
    )
  }
  if (url.username !== '' || url.password !== '') {
    throw new HoldfastError('invalid', '--url: must not hold a user or password', hint)
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new HoldfastError(
      'invalid',
      `--url: "${url.origin}${url.pathname}": must not hold a path`,
      hint,
    )
  }
  return url.origin
}
