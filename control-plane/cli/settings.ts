// Where the control plane is and with what token, from the environment or the file `up` leaves.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { HoldfastError } from '../../shared/errors.ts'

const settingsFile = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  token: z.string().startsWith('hf_api_'),
})
export type Settings = z.infer<typeof settingsFile>

type Environment = Readonly<Record<string, string | undefined>>

/** `HOLDFAST_CLIENT_FILE`, or `~/.config/holdfast/client.json`. */
export function settingsPath(env: Environment): string {
  return (
    env.HOLDFAST_CLIENT_FILE ??
    join(env.XDG_CONFIG_HOME ?? join(env.HOME ?? homedir(), '.config'), 'holdfast', 'client.json')
  )
}

/**
 * `HOLDFAST_URL` and `HOLDFAST_TOKEN` (or `HOLDFAST_TOKEN_FILE`) win over the file. The token is never
 * an argument: arguments are visible to every user of the machine.
 */
export async function readSettings(env: Environment): Promise<Settings> {
  const path = settingsPath(env)
  const stored = await readStored(path)
  const url = env.HOLDFAST_URL ?? stored?.url
  const token =
    env.HOLDFAST_TOKEN ?? (await tokenFromFile(env.HOLDFAST_TOKEN_FILE)) ?? stored?.token
  if (url === undefined || token === undefined) {
    const missing = url === undefined ? 'HOLDFAST_URL' : 'HOLDFAST_TOKEN or HOLDFAST_TOKEN_FILE'
    throw new HoldfastError(
      'unauthenticated',
      `no control plane is configured: ${missing} is not set and ${path} does not exist`,
      {
        hint: 'set HOLDFAST_URL and HOLDFAST_TOKEN_FILE, or start everything on this machine with `holdfast up`',
      },
    )
  }
  const checked = settingsFile.safeParse({ url: url.replace(/\/+$/, ''), token: token.trim() })
  if (!checked.success) {
    const issue = checked.error.issues[0]!
    const field = issue.path[0] === 'url' ? 'HOLDFAST_URL' : 'HOLDFAST_TOKEN'
    throw new HoldfastError(
      'invalid',
      `${field}: ${field === 'HOLDFAST_URL' ? `"${url}" is not an http(s) URL` : 'is not an API token (hf_api_…)'}`,
    )
  }
  const { protocol, hostname } = new URL(checked.data.url)
  if (protocol === 'http:' && !/^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname)) {
    throw new HoldfastError(
      'invalid',
      `HOLDFAST_URL: "${checked.data.url}" is plain http to another machine: everyone on the way could read the token`,
      { hint: 'use https' },
    )
  }
  return checked.data
}

/** Keeps settings for later commands, readable by their owner alone. */
export async function writeSettings(env: Environment, settings: Settings): Promise<string> {
  const path = settingsPath(env)
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await writeFile(path, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 })
  return path
}

async function readStored(path: string): Promise<Settings | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new HoldfastError('invalid', `${path}: cannot be read (${error.code})`)
  })
  if (text === undefined) return undefined
  try {
    return settingsFile.parse(JSON.parse(text))
  } catch {
    throw new HoldfastError('invalid', `${path}: is not a settings file`, {
      hint: 'remove it, or write {"url": …, "token": …}',
    })
  }
}

async function tokenFromFile(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new HoldfastError(
      'invalid',
      `HOLDFAST_TOKEN_FILE: ${path} cannot be read (${error.code})`,
    )
  })
}
