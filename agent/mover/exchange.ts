// Restore in place: the new tree grows beside the live one and takes its place in a single step.

import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import * as z from 'zod'
import { HoldfastError } from '../../shared/errors.ts'
import { exchangePaths } from '../native/exchange-paths.ts'
import { OPEN_DIRECTORY } from '../native/open-flags.ts'
import { SyscallError } from '../native/syscall-error.ts'

export interface ExchangeOptions {
  /** The live directory, such as `/var/lib/docker/volumes/pgdata/_data`. */
  readonly data: string
  /**
   * Where the new tree is built: beside `data`, on the same file system, under a name of this job alone. The journal
   * is this name with `.journal` behind it.
   */
  readonly staging: string
  /** Bytes of content that the new tree will hold. */
  readonly bytes: number
  /** The operations that change the disk, so that tests can fail each of them. */
  readonly disk?: ExchangeDisk
}

export interface ExchangeDisk {
  exchange(one: string, other: string): void
  rename(from: string, to: string): void
  makeDirectory(path: string): void
  /** Write a small file so that it is there whole or not at all, and durable. */
  writeDurably(path: string, text: string): void
  remove(path: string): void
}

export interface Exchange {
  /** Build, or go on building, the new tree here. */
  readonly staging: string
  /**
   * True where an attempt before this one died after the new tree had taken its place: nothing is left to be
   * built, and `staging` does not exist.
   */
  readonly finished: boolean
  /** Where the old tree lies afterwards: the name of `staging` with `.old` behind it. */
  readonly old: string
  /** Put the new tree, which must be whole and durable, in the place of the live one. */
  commit(): void
}

/** More room than the content needs: directories, attributes, a file system's own bookkeeping. */
const MARGIN = 1.05

/** `exchanging` names the inode of the new tree's root, by which a later look tells what happened. */
const journalEntry = z.discriminatedUnion('step', [
  z.object({ step: z.literal('building') }),
  z.object({ step: z.literal('exchanging'), newInode: z.string() }),
])
type JournalEntry = z.infer<typeof journalEntry>

/**
 * Begin an exchange, or go on with one that was cut short: whatever happened to an earlier attempt, `data` shows
 * the old tree or the new one, whole, and this finds out which.
 *
 * Throws `invalid` where `data` is a mount point or the two directories are not neighbours, and `ENOSPC` where the
 * file system lacks room for the new tree beside the old one.
 */
export function openExchange(options: ExchangeOptions): Exchange {
  const { data, staging, disk = systemDisk } = options
  const old = `${staging}.old`
  const journal = `${staging}.journal`
  if (dirname(data) !== dirname(staging) || data === staging) {
    throw new HoldfastError('invalid', 'the new tree must be built beside the one it replaces')
  }
  refuseMountPoint(data)

  const settle = (): void => {
    // If we die here the new tree is in place and the old one bears the name of the new: `recover` sees that.
    disk.rename(staging, old)
    // If we die here all is done but for a journal that nobody needs.
    disk.remove(journal)
  }
  const commit = (): void => {
    const newInode = inodeOf(staging)
    disk.writeDurably(journal, encode({ step: 'exchanging', newInode }))
    // If we die here the old tree is still in place, and the new one is whole beside it.
    disk.exchange(data, staging)
    settle()
  }

  const left = readJournal(journal)
  if (left?.step === 'exchanging' && inodeOf(data) === left.newInode) {
    if (existsSync(staging)) settle()
    else disk.remove(journal)
    return { staging, old, finished: true, commit: () => {} }
  }
  // Without a journal the exchange may be over and done with, and the journal removed.
  if (!left && existsSync(old)) return { staging, old, finished: true, commit: () => {} }
  if (!left) {
    refuseLackOfRoom(dirname(data), options.bytes)
    disk.writeDurably(journal, encode({ step: 'building' }))
  }
  // If we die here there is a journal and perhaps no directory: the next attempt makes it.
  if (!existsSync(staging)) disk.makeDirectory(staging)
  return { staging, old, finished: false, commit }
}

function inodeOf(path: string): string {
  return String(lstatSync(path, { bigint: true }).ino)
}

function refuseMountPoint(data: string): void {
  if (lstatSync(data).dev === lstatSync(dirname(data)).dev && !isBindMount(data)) return
  throw new HoldfastError('invalid', 'the live directory is a mount of its own', {
    hint: 'restore into a new volume instead',
  })
}

/** A bind mount of the same file system has the same device number, so the kernel's list is asked. */
function isBindMount(path: string): boolean {
  const escaped = path.replace(
    /[ \t\n\\]/g,
    (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`,
  )
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === escaped)
}

function refuseLackOfRoom(directory: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(directory)
  if (bavail * bsize < bytes * MARGIN) throw new SyscallError('statfs', 28) // ENOSPC
}

function encode(entry: JournalEntry): string {
  return `${JSON.stringify(entry)}\n`
}

function readJournal(path: string): JournalEntry | undefined {
  if (!existsSync(path)) return undefined
  return journalEntry.parse(JSON.parse(readFileSync(path, 'utf8')))
}

function syncParent(path: string): void {
  const fd = openSync(dirname(path), OPEN_DIRECTORY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

const systemDisk: ExchangeDisk = {
  exchange(one, other) {
    exchangePaths(one, other)
    syncParent(one)
  },
  rename(from, to) {
    renameSync(from, to)
    syncParent(to)
  },
  makeDirectory(path) {
    mkdirSync(path, { mode: 0o700 })
    syncParent(path)
  },
  writeDurably(path, text) {
    const whole = `${path}.new`
    writeFileSync(whole, text, { mode: 0o600, flush: true })
    renameSync(whole, path)
    syncParent(path)
  },
  remove(path) {
    unlinkSync(path)
    syncParent(path)
  },
}

/** The operating system's own, for tests that fail one of them. */
export { systemDisk as realExchangeDisk }
