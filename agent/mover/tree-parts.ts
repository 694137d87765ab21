// A directory's tree in the making: stretches of the parent's text where nothing changed, new nodes between them.

import { RepositoryError } from '../repository/errors.ts'
import { encodeNode, isLegalName, type TreeNode } from '../repository/tree.ts'
import type { ParentDirectory, Stretch } from './parent-directory.ts'

export type NodeOrText = TreeNode | string

/** The place of an entry that is not simply kept. */
export class Gap {
  readonly #parent: ParentDirectory | undefined
  readonly #name: string
  /** The entry's node in the parent; undefined where it has none there or was not asked for. */
  readonly was: Stretch | undefined
  /** A node, or its text; undefined for what is not in the snapshot. */
  node: NodeOrText | undefined | Promise<NodeOrText | undefined>

  constructor(parent: ParentDirectory | undefined, name: string, was: Stretch | undefined) {
    this.#parent = parent
    this.#name = name
    this.was = was
  }

  /** The entry as the parent knows it. Decoded anew each time. */
  before(): TreeNode | undefined {
    if (this.was !== undefined) return this.#parent!.nodeAt(this.was)
    return this.#parent?.decoded(this.#name)
  }
}

interface Run {
  readonly start: number
  end: number
}

/** What a directory's tree became. */
export interface FinishedTree {
  readonly text: Buffer
  /** It is the parent's, byte for byte. */
  readonly unchanged: boolean
}

const begin = '{"nodes":['
const end = ']}\n'
/** Text gathered before it becomes bytes: one long string would not hold a directory of millions. */
const piece = 1 << 20

export class TreeParts {
  readonly #parent: ParentDirectory | undefined
  readonly #parts: (Run | Gap)[] = []

  constructor(parent: ParentDirectory | undefined) {
    this.#parent = parent
  }

  /** The next entry is as the parent's node at `stretch` says, which is exactly as we would write it. */
  keep({ start, end: stop }: Stretch): void {
    const last = this.#parts.at(-1)
    // Between two nodes stands a comma; where a node between them is gone, more.
    if (last !== undefined && !(last instanceof Gap) && last.end + 1 === start) last.end = stop
    else this.#parts.push({ start, end: stop })
  }

  /** The place of the next entry, `name` (one character per byte), to be filled before `finish`. */
  gap(name: string): Gap {
    const parent = this.#parent
    const was = parent?.seek(name)
      ? { start: parent.cursor.start, end: parent.cursor.end }
      : undefined
    const gap = new Gap(parent, name, was)
    this.#parts.push(gap)
    return gap
  }

  /** Settles when all nodes have; never rejects. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#gaps())
  }

  /** Put it together once all nodes are known. Rejects with what the first failing node rejects with. */
  async finish(): Promise<FinishedTree> {
    const nodes = await Promise.all(this.#gaps())
    const text = this.#parent?.cursor.text
    const pieces: Buffer[] = []
    let open = begin
    let before = begin.length
    let same = text !== undefined
    let next = 0
    let some = false
    const flush = () => {
      if (open !== '') pieces.push(Buffer.from(open))
      open = ''
    }
    for (const part of this.#parts) {
      let stretch: Stretch | undefined
      if (part instanceof Gap) {
        const node = nodes[next++]
        if (node === undefined) continue
        const encoded = typeof node === 'string' ? node : textOf(node)
        if (same && part.was !== undefined && isAt(text!, part.was, encoded)) stretch = part.was
        else same = false
        if (some) open += ','
        open += encoded
        if (open.length >= piece) flush()
      } else {
        stretch = part
        if (some) open += ','
        flush()
        pieces.push(text!.subarray(part.start, part.end))
      }
      if (same && stretch !== undefined) {
        same = stretch.start === (some ? before + 1 : before)
        before = stretch.end
      }
      some = true
    }
    if (same && this.#parent!.cursor.isLastEnd(some ? before : 0)) {
      return { text: text!, unchanged: true }
    }
    open += end
    flush()
    return { text: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces), unchanged: false }
  }

  *#gaps(): Generator<Gap['node']> {
    for (const part of this.#parts) if (part instanceof Gap) yield part.node
  }
}

function textOf(node: TreeNode): string {
  if (isLegalName(node.name)) return encodeNode(node)
  throw new RepositoryError('illegal-name', 'a node has no legal name')
}

/** Whether `encoded` stands at `was` in `text`. */
function isAt(text: Buffer, { start, end: stop }: Stretch, encoded: string): boolean {
  // Characters are no more than bytes, so most differences show without writing it out.
  if (encoded.length > stop - start) return false
  return Buffer.from(encoded).equals(text.subarray(start, stop))
}
