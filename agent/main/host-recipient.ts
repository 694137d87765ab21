// What a person compares before a password is sealed to this host.
import { existsSync } from 'node:fs'
import { loadOrMakeHostKey } from '../jobs/passwords.ts'

/** The age recipient of the key in `file`, read from the key itself; undefined before enrolment. */
export async function hostRecipient(file: string): Promise<string | undefined> {
  return existsSync(file) ? (await loadOrMakeHostKey(file)).recipient : undefined
}
