// Secrets that open repositories: the host's own password, and what others sealed to this host.
import { existsSync, readFileSync } from 'node:fs'
import { fromBase64, toBase64Url } from '../../shared/bytes.ts'
import type { Random } from '../../shared/clock.ts'
import { writeWhole } from '../state/write-file.ts'

/** 256 bits. */
const PASSWORD_BYTES = 32

/** The host's repository password, or undefined if there is none yet. A file that is there is never replaced. */
export function readPassword(path: string): string | undefined {
  if (!existsSync(path)) return undefined
  const text = readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  return text === '' ? undefined : text
}

/**
 * The host's repository password; made and durable on disk before anyone is told of it, so that a
 * repository whose first key opens with it is never left without one.
 */
export function readOrMakePassword(path: string, random: Random): string {
  const present = readPassword(path)
  if (present !== undefined) return present
  const made = toBase64Url(random.bytes(PASSWORD_BYTES))
  writeWhole(path, `${made}\n`)
  // If we die here the next init finds and uses the same password.
  return made
}

/** Opens what was sealed with age to this host. */
export interface HostKey {
  /** `age1…` */
  readonly recipient: string
  /** Rejects if it was not sealed to this host, or not whole. */
  open(sealed: string): Promise<Uint8Array>
}

/** The host's age identity in `path`, made there first if the file is absent. */
export async function loadOrMakeHostKey(path: string): Promise<HostKey> {
  const age = await import('age-encryption')
  if (!existsSync(path)) writeWhole(path, `${await age.generateX25519Identity()}\n`)
  return loadHostKey(path)
}

/** The age code is loaded for the moment it is needed: at enrolment and at restores from elsewhere. */
async function loadHostKey(path: string): Promise<HostKey> {
  const age = await import('age-encryption')
  const identity = readFileSync(path, 'utf8').trim()
  return {
    recipient: await age.identityToRecipient(identity),
    async open(sealed) {
      const decrypter = new age.Decrypter()
      decrypter.addIdentity(identity)
      return decrypter.decrypt(fromBase64(sealed))
    },
  }
}
