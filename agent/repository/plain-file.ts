// The node of a plain file from plain numbers: what most files of a first backup are.

import { RepositoryError } from './errors.ts'
import { goString } from './go-json.ts'
import { goQuote } from './go-quote.ts'
import { type Id, isId } from './id.ts'
import { formatSeconds } from './time.ts'

/** A regular file with one name and no attributes. Times are whole seconds since 1970 and the nanoseconds of the rest. */
export interface PlainFile {
  /** One character per byte. */
  readonly name: string
  /** Go FileMode: see `goMode`. */
  readonly mode: number
  readonly modifiedSeconds: number
  readonly modifiedNanoseconds: number
  readonly changedSeconds: number
  readonly changedNanoseconds: number
  readonly uid: number
  readonly gid: number
  /** What `accountsText` says. */
  readonly accounts: string
  /** The inode's number is `inodeHigh` · 2³² + `inodeLow`. */
  readonly inodeHigh: number
  readonly inodeLow: number
  readonly size: number
}

/** The names of user and group as they stand in a node; nothing for those without. */
export function accountsText(user: string | undefined, group: string | undefined): string {
  const ofUser = user ? `,"user":${goString(user)}` : ''
  return group ? `${ofUser},"group":${goString(group)}` : ofUser
}

/** The text of its node, letter for letter what `encodeNode` makes of it. Rejects with `invalid-input`. */
export function encodePlainFile(file: PlainFile, content: readonly Id[]): string {
  if (!content.every(isId)) throw new RepositoryError('invalid-input', 'a file needs its content')
  const modified = formatSeconds(file.modifiedSeconds, file.modifiedNanoseconds)
  const changed = formatSeconds(file.changedSeconds, file.changedNanoseconds)
  const name = goString(goQuote(Buffer.from(file.name, 'latin1')))
  const mode = file.mode === 0 ? '' : `,"mode":${file.mode}`
  const { uid, gid, accounts } = file
  const size = file.size === 0 ? '' : `,"size":${file.size}`
  const chunks = content.length === 0 ? '' : `"${content.join('","')}"`
  const times = `"mtime":"${modified}","atime":"${modified}","ctime":"${changed}"`
  const owner = `"uid":${uid},"gid":${gid}${accounts}`
  return `{"name":${name},"type":"file"${mode},${times},${owner}${inodeText(file)}${size},"links":1,"content":[${chunks}]}`
}

/** From here on a double does not hold the number. */
const highLimit = 2 ** 21

function inodeText({ inodeHigh, inodeLow }: PlainFile): string {
  if (inodeHigh === 0 && inodeLow === 0) return ''
  if (inodeHigh < highLimit) return `,"inode":${inodeHigh * 0x1_0000_0000 + inodeLow}`
  return `,"inode":${(BigInt(inodeHigh) << 32n) + BigInt(inodeLow)}`
}
