// Trees: a directory's listing as restic writes it, byte for byte, because the text's hash is its name.
import { damaged, RepositoryError } from './errors.ts'
import {
  asObject,
  base64Field,
  bigintField,
  field,
  goString,
  goStringOfBytes,
  isUtf8,
  type JsonObject,
  listField,
  parseExact,
  stringField,
  uintField,
} from './go-json.ts'
import { goQuote, goUnquote } from './go-quote.ts'
import { type Id, isId, parseId } from './id.ts'
import type { NodeType } from './mode.ts'
import { formatTime, type Nanoseconds, parseTime } from './time.ts'

/** An extended attribute. The name is kept as bytes; the kernel does not promise UTF-8. */
export interface ExtendedAttribute {
  readonly name: Buffer
  /** Null only where a foreign tree says so. */
  readonly value: Buffer | null
}

/** One entry of a directory. Zero, empty and undefined fields that restic omits are omitted. */
export interface TreeNode {
  /** Raw bytes, as readdir gives them. */
  readonly name: Buffer
  readonly type: NodeType
  /** Go FileMode: see `goMode`. */
  readonly mode: number
  readonly mtime: Nanoseconds
  readonly atime: Nanoseconds
  readonly ctime: Nanoseconds
  readonly uid: number
  readonly gid: number
  readonly user?: string
  readonly group?: string
  readonly inode?: bigint
  readonly deviceId?: bigint
  /** Files only: the sum of the chunk lengths. */
  readonly size?: bigint
  readonly links?: bigint
  /** Symlinks only: the raw target. */
  readonly linkTarget?: Buffer
  readonly extendedAttributes?: readonly ExtendedAttribute[]
  /** Windows only; kept as JSON values so that nothing is lost on the way. */
  readonly genericAttributes?: { readonly [name: string]: unknown }
  /** Device number of block and character devices. */
  readonly device?: bigint
  /** Files: the ids of the chunks in order, empty for an empty file. Other types: undefined. */
  readonly content?: readonly Id[]
  /** Directories: the id of their tree. */
  readonly subtree?: Id
  readonly error?: string
}

/** Text gathered before it becomes bytes: one long string would not hold a directory of millions. */
const piece = 1024 * 1024
const nodeTypes = new Set(['file', 'dir', 'symlink', 'dev', 'chardev', 'fifo', 'socket'])

/** Names that a directory entry can have: not empty, no slash, no NUL, neither `.` nor `..`. */
export function isLegalName(name: Uint8Array): boolean {
  if (name.length === 0 || name.includes(0x2f) || name.includes(0)) return false
  return !(name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)))
}

/** The order of nodes: by raw name bytes, which is not the order of JavaScript strings. */
export function compareNodes(a: TreeNode, b: TreeNode): number {
  return Buffer.compare(a.name, b.name)
}

/**
 * The bytes of a tree blob. Nodes must have legal names in strictly rising order, files their content and
 * directories their subtree; anything else rejects with `invalid-input`, because nobody could restore it.
 */
export function encodeTree(nodes: Iterable<TreeNode>): Buffer {
  const pieces: Buffer[] = []
  let text = '{"nodes":['
  let before: Buffer | undefined
  for (const node of nodes) {
    if (!isLegalName(node.name))
      throw new RepositoryError('illegal-name', 'a node has no legal name')
    if (before !== undefined && Buffer.compare(before, node.name) >= 0) {
      throw new RepositoryError('invalid-input', 'the nodes of a tree are not in strict order')
    }
    text += before === undefined ? encodeNode(node) : `,${encodeNode(node)}`
    before = node.name
    if (text.length >= piece) {
      pieces.push(Buffer.from(text))
      text = ''
    }
  }
  pieces.push(Buffer.from(`${text}]}\n`))
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
}

/** The text of one node, as `encodeTree` puts it between commas. Rejects with `invalid-input` or `illegal-name`. */
export function encodeNode(node: TreeNode): string {
  const mtime = formatTime(node.mtime)
  const atime = node.atime === node.mtime ? mtime : formatTime(node.atime)
  const ctime = node.ctime === node.mtime ? mtime : formatTime(node.ctime)
  let out = `{"name":${goString(goQuote(node.name))},"type":"${node.type}"`
  if (node.mode !== 0) out += `,"mode":${node.mode}`
  out += `,"mtime":"${mtime}","atime":"${atime}","ctime":"${ctime}"`
  out += `,"uid":${node.uid},"gid":${node.gid}`
  if (node.user) out += `,"user":${goString(node.user)}`
  if (node.group) out += `,"group":${goString(node.group)}`
  if (node.inode) out += `,"inode":${node.inode}`
  if (node.deviceId) out += `,"device_id":${node.deviceId}`
  if (node.size) out += `,"size":${node.size}`
  if (node.links) out += `,"links":${node.links}`
  if (node.linkTarget?.length) {
    out += `,"linktarget":${goStringOfBytes(node.linkTarget)}`
    if (!isUtf8(node.linkTarget)) {
      out += `,"linktarget_raw":"${node.linkTarget.toString('base64')}"`
    }
  }
  if (node.extendedAttributes?.length) {
    const items = node.extendedAttributes.map(({ name, value }) => {
      const text = value === null ? 'null' : `"${value.toString('base64')}"`
      return `{"name":${goStringOfBytes(name)},"value":${text}}`
    })
    out += `,"extended_attributes":[${items.join(',')}]`
  }
  const generic = Object.entries(node.genericAttributes ?? {})
  if (generic.length > 0) {
    generic.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    const items = generic.map(
      ([name, value]) => `${goString(name)}:${JSON.stringify(value, exact)}`,
    )
    out += `,"generic_attributes":{${items.join(',')}}`
  }
  if (node.device) out += `,"device":${node.device}`
  out += `,"content":${encodeContent(node)}`
  if (node.type === 'dir') {
    if (node.subtree === undefined || !isId(node.subtree)) throw missing('a directory', 'subtree')
    out += `,"subtree":"${node.subtree}"`
  }
  if (node.error) out += `,"error":${goString(node.error)}`
  return `${out}}`
}

/** Bigints, which stand for integers beyond 2^53, print as plain digits. */
function exact(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? rawJson(value.toString()) : value
}

// In every engine since V8 11.4, but not yet in TypeScript's es2024 library.
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown }

function encodeContent(node: TreeNode): string {
  if (node.type !== 'file') return 'null'
  if (node.content === undefined || !node.content.every(isId)) throw missing('a file', 'content')
  return node.content.length === 0 ? '[]' : `["${node.content.join('","')}"]`
}

function missing(what: string, name: string): RepositoryError {
  return new RepositoryError('invalid-input', `${what} needs its ${name}`)
}

/**
 * The nodes of a tree blob, in the order stored. Rejects with `damaged` for what stock restic could not read
 * either. Names and order are not judged here: see `treeFaults`.
 */
export function decodeTree(bytes: Uint8Array): TreeNode[] {
  const what = 'a tree'
  const nodes = listField(parseExact(bytes, what), 'nodes', what)
  if (nodes === undefined) throw damaged(`${what} has no list of nodes`)
  return nodes.map((node) => decodeNode(asObject(node, what)))
}

/** One node, as `decodeTree` reads it. */
export function decodeNode(json: JsonObject): TreeNode {
  const what = 'a node'
  const name = goUnquote(stringField(json, 'name', what) ?? '')
  if (name === undefined) throw damaged(`${what} has a name that is not quoted`)
  const type = stringField(json, 'type', what) ?? ''
  if (!nodeTypes.has(type)) throw damaged(`${what} has an unknown type`)
  const node: { -readonly [K in keyof TreeNode]: TreeNode[K] } = {
    name,
    type: type as NodeType,
    mode: uintField(json, 'mode', what) ?? 0,
    mtime: parseTime(field(json, 'mtime'), `${what}'s mtime`),
    atime: parseTime(field(json, 'atime'), `${what}'s atime`),
    ctime: parseTime(field(json, 'ctime'), `${what}'s ctime`),
    uid: uintField(json, 'uid', what) ?? 0,
    gid: uintField(json, 'gid', what) ?? 0,
  }
  const user = stringField(json, 'user', what)
  if (user) node.user = user
  const group = stringField(json, 'group', what)
  if (group) node.group = group
  const inode = bigintField(json, 'inode', what)
  if (inode) node.inode = inode
  const deviceId = bigintField(json, 'device_id', what)
  if (deviceId) node.deviceId = deviceId
  const size = bigintField(json, 'size', what)
  if (size) node.size = size
  const links = bigintField(json, 'links', what)
  if (links) node.links = links
  const target = base64Field(json, 'linktarget_raw', what) ?? stringField(json, 'linktarget', what)
  if (target?.length) node.linkTarget = Buffer.from(target as string)
  const attributes = listField(json, 'extended_attributes', what)
  if (attributes?.length) node.extendedAttributes = attributes.map(decodeAttribute)
  const generic = field(json, 'generic_attributes')
  if (generic !== undefined) node.genericAttributes = asObject(generic, what)
  const device = bigintField(json, 'device', what)
  if (device) node.device = device
  const content = listField(json, 'content', what)
  if (content !== undefined) node.content = content.map((id) => parseId(id, `${what}'s content`))
  const subtree = field(json, 'subtree')
  if (subtree !== undefined) node.subtree = parseId(subtree, `${what}'s subtree`)
  const error = stringField(json, 'error', what)
  if (error) node.error = error
  return node
}

function decodeAttribute(item: unknown): ExtendedAttribute {
  const what = 'an extended attribute'
  const json = asObject(item, what)
  return {
    name: Buffer.from(stringField(json, 'name', what) ?? ''),
    value: base64Field(json, 'value', what) ?? null,
  }
}

/** What is wrong with a node, without saying which file it is. */
export type TreeFault =
  | 'illegal-name' // could leave its directory when restored
  | 'unsorted' // lookups in it would miss entries
  | 'duplicate-name'
  | 'no-content' // a file without a list of chunks
  | 'no-subtree' // a directory without a tree

/** Every fault in a decoded tree, with the number of its node (from 0). */
export function treeFaults(nodes: readonly TreeNode[]): { node: number; fault: TreeFault }[] {
  const faults: { node: number; fault: TreeFault }[] = []
  const seen = new Set<string>()
  nodes.forEach((node, i) => {
    const add = (fault: TreeFault) => faults.push({ node: i, fault })
    if (!isLegalName(node.name)) add('illegal-name')
    const key = node.name.toString('latin1')
    if (seen.has(key)) add('duplicate-name')
    else if (i > 0 && Buffer.compare(nodes[i - 1]!.name, node.name) > 0) add('unsorted')
    seen.add(key)
    if (node.type === 'file' && node.content === undefined) add('no-content')
    if (node.type === 'dir' && node.subtree === undefined) add('no-subtree')
  })
  return faults
}
