// Nodes as stock restic makes them of what lies on disk: what our encoder is held against.

import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { readXattrs } from '../../agent/native/xattrs.ts'
import { chunkerTables } from '../../agent/repository/chunker.ts'
import { idOf } from '../../agent/repository/id.ts'
import { goMode, nodeType } from '../../agent/repository/mode.ts'
import { compareNodes, encodeTree, type TreeNode } from '../../agent/repository/tree.ts'
import { ReferenceChunker } from '../support/reference-chunker.ts'

type Accounts = ReadonlyMap<number, string>

function accounts(file: string): Accounts {
  const lines = readFileSync(file, 'utf8').split('\n')
  return new Map(lines.map((line) => line.split(':')).map((f) => [Number(f[2]), f[0] ?? '']))
}

const separator = Buffer.from('/')

/** Computes tree ids of directories with the chunker polynomial of one repository. */
export function createStockNodes(polynomial: bigint) {
  const chunker = new ReferenceChunker(chunkerTables(polynomial))
  const users = accounts('/etc/passwd')
  const groups = accounts('/etc/group')

  function contentOf(path: Buffer): { content: string[]; size: bigint } {
    const bytes = readFileSync(path)
    const content: string[] = []
    for (let from = 0; from < bytes.length; ) {
      from += chunker.take(bytes, from)
      for (let chunk = chunker.next(); chunk; chunk = chunker.next()) {
        content.push(idOf(chunk))
        chunker.drop(chunk)
      }
    }
    const rest = chunker.rest()
    if (rest) content.push(idOf(rest))
    chunker.reset()
    return { content, size: BigInt(bytes.length) }
  }

  function nodeOf(path: Buffer, name: Buffer, onTree: OnTree): TreeNode {
    const stat = lstatSync(path, { bigint: true })
    const attributes = readXattrs(path)
    const type = nodeType(Number(stat.mode))!
    return {
      name,
      type,
      mode: goMode(Number(stat.mode)),
      mtime: stat.mtimeNs,
      atime: stat.mtimeNs,
      ctime: stat.ctimeNs,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      user: users.get(Number(stat.uid)) ?? '',
      group: groups.get(Number(stat.gid)) ?? '',
      inode: stat.ino,
      deviceId: stat.dev,
      ...(attributes.length > 0 && { extendedAttributes: attributes }),
      ...ofType(path, type, stat, onTree),
    }
  }

  function ofType(
    path: Buffer,
    type: TreeNode['type'],
    stat: BigIntStats,
    onTree: OnTree,
  ): Partial<TreeNode> {
    if (type === 'dir') return { subtree: treeOf(path, onTree) }
    if (type === 'file') return { ...contentOf(path), links: stat.nlink }
    if (type === 'symlink') {
      return { linkTarget: readlinkSync(path, { encoding: 'buffer' }), links: stat.nlink }
    }
    if (type === 'dev' || type === 'chardev') return { device: stat.rdev, links: stat.nlink }
    return {}
  }

  /** The id of a directory's tree; `onTree` hears of it and of every tree below. */
  function treeOf(path: Buffer, onTree: OnTree): string {
    const names = readdirSync(path, { encoding: 'buffer' })
    const nodes = names.map((name) => nodeOf(Buffer.concat([path, separator, name]), name, onTree))
    const bytes = encodeTree(nodes.sort(compareNodes))
    const id = idOf(bytes)
    onTree(id, bytes)
    return id
  }

  return { treeOf }
}

export type OnTree = (id: string, bytes: Buffer) => void
