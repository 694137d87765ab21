// A tree read from its bytes, node by node, without making an object of any: what an unchanged directory costs.

import { isUtf8, parseExact } from './go-json.ts'
import { goUnquote } from './go-quote.ts'
import { decodeNode, type TreeNode } from './tree.ts'
import { idStep, TreeScanner } from './tree-scanner.ts'

/** Every tree begins and ends with these. */
const begin = Buffer.from('{"nodes":[')
const end = Buffer.from(']}\n')

// What stands before each value of a plain file, in the order in which every writer of this format puts them.
const beforeName = Buffer.from('{"name":"')
const beforeMode = Buffer.from('","type":"file","mode":')
const beforeModified = Buffer.from(',"mtime":"')
const beforeAccessed = Buffer.from('","atime":"')
const beforeChanged = Buffer.from('","ctime":"')
const beforeUid = Buffer.from('","uid":')
const beforeGid = Buffer.from(',"gid":')
const beforeUser = Buffer.from(',"user":"')
const beforeGroup = Buffer.from(',"group":"')
const beforeInode = Buffer.from(',"inode":')
const beforeSize = Buffer.from(',"size":')
const beforeContent = Buffer.from(',"links":1,"content":[')
const afterContent = Buffer.from(']}')

const quote = 0x22
const comma = 0x2c
/** Digits that a double holds exactly. */
const exactDigits = 15
/** Digits that 64 bits hold whatever they are; a longer number is left to those who decode. */
const inodeDigits = 19

/**
 * Goes through the nodes of a tree blob in order. It understands trees as this room and stock restic write them;
 * at the first byte that is otherwise it is `lost`, and whoever needs the rest decodes the whole.
 *
 * A node is `plain` if it is a regular file with one name and no attributes, written exactly as `encodeTree` writes
 * it: its values can then be compared, and if all are the same, so is the text. Other nodes are found and can be decoded.
 */
export class TreeCursor {
  readonly text: Buffer
  /** Where the current node begins and ends in `text`; both 0 before the first. */
  start = 0
  end = 0
  lost = false
  plain = false

  // Of a plain node.
  mode = 0
  uid = 0
  gid = 0
  size = 0
  /** Seconds since 1970 and the nanoseconds of the rest. The access time is the same. */
  modifiedSeconds = 0
  modifiedNanoseconds = 0
  changedSeconds = 0
  changedNanoseconds = 0

  #accountsStart = 0
  #accountsEnd = 0
  #inode = 0
  #inodeStart = 0
  #inodeEnd = 0
  #contentStart = 0
  #contentEnd = 0

  /** The current name: its raw bytes, where they stand in the text as they are; else one character per byte. */
  #nameStart = 0
  #nameEnd = 0
  #name: string | undefined
  /** Whether the current node was asked for, so that the next question goes on behind it. */
  #done = true
  readonly #scanner: TreeScanner

  constructor(text: Buffer) {
    this.text = text
    this.#scanner = new TreeScanner(text)
    this.#scanner.at = begin.length
    this.lost = !this.#scanner.isAt(0, begin)
  }

  /**
   * Go to the node of `name` (one character per byte); names must be asked for in rising order. False if there is
   * none, or if the cursor is lost.
   */
  seek(name: string): boolean {
    for (;;) {
      if (this.#done) {
        if (this.lost || !this.#advance()) return false
        this.#done = false
      }
      const order = this.#compare(name)
      if (order > 0) return false
      if (order === 0) return true
      this.#done = true
    }
  }

  /** Whether nothing follows the node that ends at `at`, or at all if `at` is 0. */
  isLastEnd(at: number): boolean {
    const last = at === 0 ? begin.length : at
    return last + end.length === this.text.length && this.#scanner.isAt(last, end)
  }

  /** The current node. Rejects with `damaged` as `decodeTree` does. */
  node(): TreeNode {
    const what = 'a node'
    return decodeNode(parseExact(this.text.subarray(this.start, this.end), what))
  }

  /** Whether the inode's number is `high` · 2³² + `low`. */
  inodeIs(high: number, low: number): boolean {
    if (this.#inodeEnd - this.#inodeStart <= exactDigits) {
      return this.#inode === high * 0x1_0000_0000 + low
    }
    const digits = this.text.toString('latin1', this.#inodeStart, this.#inodeEnd)
    return BigInt(digits) === (BigInt(high) << 32n) + BigInt(low)
  }

  /** Whether the names of user and group are told by exactly these bytes: see `accountsText`. */
  accountsAre(bytes: Buffer): boolean {
    const length = this.#accountsEnd - this.#accountsStart
    return length === bytes.length && this.#scanner.isAt(this.#accountsStart, bytes)
  }

  /** Whether `test` is true of every chunk of a plain file. */
  everyChunk(test: (id: string) => boolean): boolean {
    for (let at = this.#contentStart; at < this.#contentEnd; at += idStep) {
      if (!test(this.text.toString('latin1', at + 1, at + idStep - 2))) return false
    }
    return true
  }

  /** Below zero if the current name comes before `name`, above if after. */
  #compare(name: string): number {
    if (this.#name !== undefined) return this.#name < name ? -1 : this.#name === name ? 0 : 1
    const { text } = this
    const start = this.#nameStart
    const length = this.#nameEnd - start
    const common = Math.min(length, name.length)
    for (let i = 0; i < common; i++) {
      const difference = text[start + i]! - name.charCodeAt(i)
      if (difference !== 0) return difference
    }
    return length - name.length
  }

  /** Read the next node; false at the end. */
  #advance(): boolean {
    const { text } = this
    let { at } = this.#scanner
    const first = this.end === 0
    if (this.isLastEnd(this.end)) return false
    if (!first && text[at++] !== comma) return this.#lose()
    const earlierStart = this.#nameStart
    const earlierEnd = this.#nameEnd
    const earlier = this.#name
    this.start = at
    if (!this.#scanner.isAt(at, beforeName)) return this.#lose()
    if (!this.#readName(at + beforeName.length)) return this.#lose()
    this.plain = this.#readPlain()
    if (!this.plain && !this.#scanner.skip(at)) return this.#lose()
    // Out of order, a merge with a sorted directory would miss some.
    const before = earlier ?? text.toString('latin1', earlierStart, earlierEnd)
    if (!first && this.#compare(before) <= 0) return this.#lose()
    this.end = this.#scanner.at
    return true
  }

  #lose(): false {
    this.lost = true
    this.plain = false
    return false
  }

  #readName(start: number): boolean {
    const { text } = this
    const scanner = this.#scanner
    scanner.at = start
    const simple = scanner.letters()
    const end = scanner.at
    if (end === start || text[end] !== quote) return false
    this.#nameStart = start
    this.#nameEnd = end
    this.#name = simple ? undefined : unquoted(text.subarray(start, end))
    return simple || this.#name !== undefined
  }

  /** From behind the name to the end of the node, if it is a plain file. */
  #readPlain(): boolean {
    // A name in other than plain letters may have been written by other tables than ours.
    if (this.#name !== undefined) return false
    const scanner = this.#scanner
    if (!scanner.literal(beforeMode) || !scanner.word() || scanner.value === 0) return false
    this.mode = scanner.value
    if (!scanner.literal(beforeModified)) return false
    const modified = scanner.at
    if (!scanner.time()) return false
    const length = scanner.at - modified
    this.modifiedSeconds = scanner.value
    this.modifiedNanoseconds = scanner.nanoseconds
    if (!scanner.literal(beforeAccessed) || !scanner.same(modified, length)) return false
    if (!scanner.literal(beforeChanged) || !scanner.time()) return false
    this.changedSeconds = scanner.value
    this.changedNanoseconds = scanner.nanoseconds
    if (!scanner.literal(beforeUid) || !scanner.word()) return false
    this.uid = scanner.value
    if (!scanner.literal(beforeGid) || !scanner.word()) return false
    this.gid = scanner.value
    this.#accountsStart = scanner.at
    if (!scanner.optionalString(beforeUser) || !scanner.optionalString(beforeGroup)) return false
    this.#accountsEnd = scanner.at
    if (!scanner.literal(beforeInode)) return false
    this.#inodeStart = scanner.at
    if (!scanner.number(inodeDigits) || scanner.value === 0) return false
    this.#inodeEnd = scanner.at
    this.#inode = scanner.value
    this.size = 0
    if (scanner.literal(beforeSize)) {
      if (!scanner.number(exactDigits) || scanner.value === 0) return false
      this.size = scanner.value
    }
    if (!scanner.literal(beforeContent)) return false
    this.#contentStart = scanner.at
    if (!scanner.ids()) return false
    this.#contentEnd = scanner.at
    return scanner.literal(afterContent)
  }
}

/** A name out of the inside of a JSON string, one character per byte; undefined if it is none. */
function unquoted(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return undefined
  try {
    const text: unknown = JSON.parse(`"${bytes.toString('utf8')}"`)
    return goUnquote(text as string)?.toString('latin1')
  } catch {
    return undefined
  }
}
