// Files that are either whole or not there.
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Readable and writable by the agent's own user alone. */
export const PRIVATE_FILE = 0o600

/**
 * Put `content` at `path`, mode 0600: after a crash there is the old file or the new one, never a mix.
 * When this returns the file and its name are durable.
 */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const beside = `${path}.new`
  const fd = openSync(beside, 'w', PRIVATE_FILE)
  try {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    fsyncSync(fd)
  } catch (error) {
    closeSync(fd)
    unlinkSync(beside)
    throw error
  }
  closeSync(fd)
  // If we die here the old file still stands, and the next writer overwrites what lies beside it.
  renameSync(beside, path)
  syncDirectory(dirname(path))
}

/** Make the names in a directory durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
