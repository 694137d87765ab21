// The agent's state directory: what lies in it, and that it is private and used by one agent at a time.
import { chmodSync, mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../shared/errors.ts'

export const DEFAULT_STATE_DIRECTORY = '/var/lib/holdfast-agent'
/** Nobody else reads or lists it. */
const PRIVATE_FOLDER = 0o700

/** Where everything lies. Losing `identity.pem` means enrolling again; losing `repository.password` means the kit. */
export function stateFiles(directory: string) {
  const at = (name: string) => join(directory, name)
  return {
    directory,
    /** What enrolment settled. */
    agent: at('agent.json'),
    /** The operator's own rules; never written by us. */
    host: at('host.yaml'),
    identity: at('identity.pem'),
    hostKey: at('host.age'),
    password: at('repository.password'),
    outbox: at('outbox'),
    journal: at('journal'),
    reserve: at('reserve'),
    socket: at('agent.sock'),
    cache: at('cache'),
    work: at('work'),
    /** Our own modules, compiled: a start takes half the time and 15 MB less. */
    code: at('code'),
  }
}
export type StateFiles = ReturnType<typeof stateFiles>

/** Make the directory if it is absent, private in any case. */
export function openStateDirectory(directory: string): StateFiles {
  try {
    mkdirSync(directory, { recursive: true, mode: PRIVATE_FOLDER })
    chmodSync(directory, PRIVATE_FOLDER)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    throw new HoldfastError('invalid', `state directory ${directory}: ${code}`, {
      hint: 'run the agent as root, or name a directory of its own with --state or HOLDFAST_STATE_DIR',
      cause,
    })
  }
  return stateFiles(directory)
}

/** Bytes that the agent may still write there. */
export function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}
