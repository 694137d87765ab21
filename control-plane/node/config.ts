// What the environment says, read and checked once. Errors name the variable, the cause and the fix.
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { HoldfastError } from '../../shared/errors.ts'
import { isLoopback, type ProxyList, parseProxies } from './client-address.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface Config {
  /** Directory of database, disk vaults and, unless given otherwise, the master key. */
  readonly data: string
  /** Where agents and people reach us: scheme, host and port, without a path. */
  readonly publicUrl: string
  readonly listen: { readonly host: string; readonly port: number }
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  readonly trustedProxies: ProxyList
  /** From the environment, newest first; undefined: from `<data>/master.key`. */
  readonly masterKeys: readonly Uint8Array[] | undefined
  /** Address ranges that webhooks may reach beside the public Internet, e.g. `10.1.0.0/16`. */
  readonly webhookAllow: readonly string[]
  readonly logLevel: string
}

const DEFAULT_LISTEN = '127.0.0.1:8420'
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** Throws `invalid` with the first thing that is wrong. */
export function readConfig(environment: Environment): Config {
  const read = (name: string) => readVariable(environment, name)
  const data = read('HOLDFAST_DATA') ?? defaultData()
  if (!isAbsolute(data)) throw wrong('HOLDFAST_DATA', `"${data}" is not an absolute path`)

  const listen = parseListen(read('HOLDFAST_LISTEN') ?? DEFAULT_LISTEN)
  const certFile = read('HOLDFAST_TLS_CERT_FILE')
  const keyFile = read('HOLDFAST_TLS_KEY_FILE')
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const [has, lacks] =
      certFile === undefined
        ? ['HOLDFAST_TLS_KEY_FILE', 'HOLDFAST_TLS_CERT_FILE']
        : ['HOLDFAST_TLS_CERT_FILE', 'HOLDFAST_TLS_KEY_FILE']
    throw wrong(lacks, `is not set, but ${has} is`, 'TLS needs both files')
  }
  const tls = certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile }
  const trustedProxies = proxies(read('HOLDFAST_TRUSTED_PROXIES'))

  if (!isLoopback(listen.host) && tls === undefined && trustedProxies.empty) {
    throw wrong(
      'HOLDFAST_LISTEN',
      `${listen.host} can be reached from other machines, but there is neither TLS nor a trusted proxy`,
      'set HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE, or name the proxy that ends TLS in HOLDFAST_TRUSTED_PROXIES',
    )
  }
  const logLevel = read('HOLDFAST_LOG_LEVEL') ?? 'info'
  if (!LOG_LEVELS.includes(logLevel)) {
    throw wrong('HOLDFAST_LOG_LEVEL', `"${logLevel}" is not one of ${LOG_LEVELS.join(', ')}`)
  }
  return {
    data,
    publicUrl: publicUrlOf(read('HOLDFAST_PUBLIC_URL'), listen, tls !== undefined, trustedProxies),
    listen,
    tls,
    trustedProxies,
    masterKeys: masterKeysOf(read('HOLDFAST_MASTER_KEY')),
    webhookAllow: rangesOf(read('HOLDFAST_WEBHOOK_ALLOW')),
    logLevel,
  }
}

function defaultData(): string {
  return process.getuid?.() === 0
    ? '/var/lib/holdfast'
    : join(homedir(), '.local', 'share', 'holdfast')
}

/** `NAME`, or the content of the file `NAME_FILE` names. Files of TLS are names themselves. */
function readVariable(environment: Environment, name: string): string | undefined {
  const value = environment[name]
  const file = name.endsWith('_FILE') ? undefined : environment[`${name}_FILE`]
  if (value !== undefined && value !== '') {
    if (file !== undefined) throw wrong(name, `is set, and ${name}_FILE too`, 'set one of them')
    return value
  }
  if (file === undefined || file === '') return undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
    throw wrong(`${name}_FILE`, `${file} cannot be read (${code})`)
  }
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65_535) {
    throw wrong(
      'HOLDFAST_LISTEN',
      `"${text}" is not host:port`,
      'e.g. 127.0.0.1:8420 or [::1]:8420',
    )
  }
  return { host, port }
}

function proxies(text: string | undefined): ProxyList {
  try {
    return parseProxies(text ?? '')
  } catch (error) {
    throw wrong(
      'HOLDFAST_TRUSTED_PROXIES',
      (error as Error).message,
      'give addresses or CIDR ranges, separated by commas, e.g. 10.0.0.0/8',
    )
  }
}

function publicUrlOf(
  text: string | undefined,
  listen: { host: string; port: number },
  tls: boolean,
  trusted: ProxyList,
): string {
  if (text === undefined) {
    if (!trusted.empty || !isLoopback(listen.host)) {
      throw wrong(
        'HOLDFAST_PUBLIC_URL',
        'is not set; hosts need to know where to dial',
        'e.g. https://backup.example.com',
      )
    }
    const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host
    return `${tls ? 'https' : 'http'}://${host}:${listen.port}`
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw wrong('HOLDFAST_PUBLIC_URL', `"${text}" is not an http(s) URL`)
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw wrong(
      'HOLDFAST_PUBLIC_URL',
      'must be scheme, host and port only',
      'e.g. https://backup.example.com',
    )
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname.replace(/^\[|\]$/g, ''))) {
    throw wrong(
      'HOLDFAST_PUBLIC_URL',
      `"${text}" is plain http to another machine; agents refuse it`,
      'use https',
    )
  }
  return url.origin
}

function rangesOf(text: string | undefined): string[] {
  const ranges = (text ?? '').split(/[,\s]+/).filter((part) => part !== '')
  for (const range of ranges) {
    if (range.includes('/') && isRange(range)) continue
    throw wrong(
      'HOLDFAST_WEBHOOK_ALLOW',
      `"${range}" is not an address range`,
      'give CIDR ranges, separated by commas, e.g. 10.1.0.0/16',
    )
  }
  return ranges
}

function isRange(text: string): boolean {
  try {
    return !parseProxies(text).empty
  } catch {
    return false
  }
}

/** Bytes of a master key. */
const KEY_BYTES = 32

function masterKeysOf(text: string | undefined): Uint8Array[] | undefined {
  if (text === undefined) return undefined
  return parseMasterKeys(text, 'HOLDFAST_MASTER_KEY')
}

/** Base64 keys separated by commas or line ends, newest first. Their text never gets into the error. */
export function parseMasterKeys(text: string, where: string): Uint8Array[] {
  const keys = text
    .split(/[,\s]+/)
    .filter((part) => part !== '')
    .map((part) => new Uint8Array(Buffer.from(part, 'base64')))
  if (keys.length === 0 || keys.some((key) => key.length !== KEY_BYTES)) {
    throw wrong(
      where,
      `must hold keys of ${KEY_BYTES} bytes in base64`,
      'make one with: openssl rand -base64 32',
    )
  }
  return keys
}

function wrong(variable: string, cause: string, fix?: string): HoldfastError {
  return new HoldfastError(
    'invalid',
    `${variable}: ${cause}`,
    fix === undefined ? {} : { hint: fix },
  )
}
