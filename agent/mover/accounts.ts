import { readFileSync } from 'node:fs'

/** Names of a host's users and groups; undefined for an id that has none. */
export interface Accounts {
  user(uid: number): string | undefined
  group(gid: number): string | undefined
}

/** No names at all: for sources whose ids mean nothing on this host. */
export const noAccounts: Accounts = { user: () => undefined, group: () => undefined }

/**
 * Names as `passwd` and `group` files of the usual format give them, the first line of an id winning.
 * Read once; a file that is not there names nobody. Directory services are not asked, as restic's static binary does not.
 */
export function readAccounts(passwd: string, group: string): Accounts {
  const users = namesById(passwd)
  const groups = namesById(group)
  return { user: (uid) => users.get(uid), group: (gid) => groups.get(gid) }
}

function namesById(path: string): Map<number, string> {
  const names = new Map<number, string>()
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return names
  }
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':')
    if (!name || name.startsWith('#') || !id || !/^\d+$/.test(id)) continue
    if (!names.has(Number(id))) names.set(Number(id), name)
  }
  return names
}
