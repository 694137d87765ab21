import { accountsText } from '../repository/plain-file.ts'
import type { Accounts } from './accounts.ts'

interface Told {
  readonly uid: number
  readonly gid: number
  readonly accounts: Accounts | undefined
  readonly text: string
  readonly bytes: Buffer
}

/** The last answer: most files of a directory belong to the same. */
let told: Told = { uid: -1, gid: -1, accounts: undefined, text: '', bytes: Buffer.alloc(0) }

/** The names of a user and a group as they stand in a node, as text and as bytes. */
export function accountsOf(uid: number, gid: number, accounts: Accounts): Told {
  if (uid !== told.uid || gid !== told.gid || accounts !== told.accounts) {
    const text = accountsText(accounts.user(uid), accounts.group(gid))
    told = { uid, gid, accounts, text, bytes: Buffer.from(text) }
  }
  return told
}
