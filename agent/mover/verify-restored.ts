// What was restored, read back from the disk and compared with what the snapshot says.

import { closeSync, constants, fstatSync, read } from 'node:fs'
import { HoldfastError } from '../../shared/errors.ts'
import { openAt } from '../native/open-at.ts'
import { forgetPages } from '../native/open-file.ts'
import { plainLength } from '../repository/blob.ts'
import { idOf } from '../repository/id.ts'
import type { BlobIndex } from '../repository/index.ts'
import { release } from '../repository/release.ts'
import type { TreeNode } from '../repository/tree.ts'
import { isHoleIn, zeroChunk } from './target-file.ts'

const OPEN_READING = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NOATIME

/**
 * Read a file of an open directory back and compare every chunk with its id. What is durable already is read from the
 * disk and not from memory. Throws `internal` where anything differs, and what the system says. `onBytes` hears of
 * each chunk.
 */
export async function verifyFile(
  directory: number,
  node: TreeNode,
  index: Pick<BlobIndex, 'find'>,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const fd = openAt(directory, node.name, OPEN_READING)
  try {
    forgetPages(fd)
    let offset = 0
    for (const id of node.content ?? []) {
      const place = index.find('data', id)
      if (place === undefined) throw differs()
      const length = plainLength(place)
      if (!(await holds(fd, id, offset, length))) throw differs()
      offset += length
      onBytes(length)
    }
    if (fstatSync(fd).size !== offset) throw differs()
  } finally {
    closeSync(fd)
  }
}

async function holds(fd: number, id: string, offset: number, length: number): Promise<boolean> {
  if (id === zeroChunk.id && isHoleIn(fd, { offset, length })) return true
  const bytes = Buffer.allocUnsafe(length)
  try {
    for (let filled = 0; filled < length; ) {
      const count = await readSome(fd, bytes.subarray(filled), offset + filled)
      if (count === 0) return false
      filled += count
    }
    return idOf(bytes) === id
  } finally {
    release(bytes)
  }
}

function readSome(fd: number, into: Buffer, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, 0, into.length, at, (error, count) => (error ? reject(error) : resolve(count)))
  })
}

function differs(): HoldfastError {
  return new HoldfastError('internal', 'a restored file reads back with other bytes', {
    hint: 'check the disk and the memory of this host, then restore again',
  })
}
