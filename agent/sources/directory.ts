// A directory of the host as a source: walked from open directory to open directory, so that nothing
// that happens in it meanwhile (a rename, a symlink planted by a container) can lead us out of it.

import {
  type BigIntStats,
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
} from 'node:fs'
import { anchoredPath, descriptorPath } from '../native/anchored-path.ts'
import { Glance, type Sighting } from '../native/glance.ts'
import { inDirectory } from '../native/in-directory.ts'
import { OPEN_DIRECTORY } from '../native/open-flags.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { lacksXattrs, readXattrs } from '../native/xattrs.ts'
import { type OpenContent, openContent, openSeen, systemOpen } from './file-content.ts'
import { isOnDisk } from './file-systems.ts'
import type {
  Attributes,
  Passed,
  Passes,
  SeenFile,
  Source,
  SourceDirectory,
  SourceEntry,
} from './source.ts'

export interface DirectorySourceOptions {
  /** How files are opened for their content. */
  open?: OpenContent
}

/**
 * The directory at the absolute `path`, which it keeps in the snapshot. A symlink there is resolved
 * once, as Docker does for a bind mount.
 *
 * Other file systems mounted inside are entered, because a person who asks for a directory means what
 * they see in it; their mount points are marked `entered`, so that the report can name them. Those that
 * hold no data (proc, tmpfs, …) are `left-out`. Bind mounts of the same file system look like directories.
 */
export function createDirectorySource(path: string, options: DirectorySourceOptions = {}): Source {
  const components = path.split('/').filter((component) => component !== '')
  if (!path.startsWith('/') || components.some((c) => c === '.' || c === '..')) {
    throw new RangeError('a directory source needs an absolute path without . and ..')
  }
  if (components.length === 0) throw new RangeError('the root directory cannot be a source')
  return createTreeSource(
    path,
    components.map((component) => Buffer.from(component)),
    options,
  )
}

/** What lies at `at` on this host, known in the snapshot under `path`. */
export function createTreeSource(
  at: string,
  path: readonly Buffer[],
  options: DirectorySourceOptions = {},
): Source {
  const open = options.open ?? systemOpen
  return {
    path,
    open: () => new OpenDirectory(openSync(realpathSync(at), OPEN_DIRECTORY), open),
  }
}

/** Entries looked at in one go, before any of them is opened. */
const AHEAD = 64

type AttributesOf = (path: Buffer) => Attributes

/** The directory itself, for calls that do not follow the last component of a path. */
const SELF = Buffer.from('.')
const none: Attributes = { xattrs: [] }
/** One for all: nothing else happens between a look and the question it is for. */
const glance = new Glance()

/** A file whose attributes cannot be read is still worth keeping, unless it is gone. */
function readAttributes(path: Buffer): Attributes {
  try {
    const xattrs = readXattrs(path)
    return xattrs.length === 0 ? none : { xattrs }
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === undefined || code === 'ENOENT') throw error
    return { code }
  }
}

class OpenDirectory implements SourceDirectory {
  readonly stat: BigIntStats
  readonly attributes: Attributes
  readonly #fd: number
  readonly #open: OpenContent
  #closed = false

  /** Owns `fd` from now on, also if it throws. */
  constructor(fd: number, open: OpenContent) {
    this.#fd = fd
    this.#open = open
    try {
      this.stat = fstatSync(fd, { bigint: true })
      this.attributes = readAttributes(anchoredPath(fd, SELF))
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  entries(): Iterable<SourceEntry>
  entries(passes: Passes): Iterable<SourceEntry | Passed>
  entries(passes?: Passes): Iterable<SourceEntry | Passed> {
    const names = this.#names()
    if (passes === undefined) return this.#each(names)
    return this.#others(names, (name) => passes(name, this.#glance(name)), readAttributes)
  }

  outline(passes: Passes): Iterable<SourceEntry | Passed> {
    const shown = (name: string) => (this.#glanceAtFile(name) ? glance : undefined)
    return this.#others(
      this.#names(),
      (name) => passes(name, shown(name)),
      () => none,
    )
  }

  /** One character per byte: half the memory of Buffers, and sorting strings of it sorts by bytes. */
  #names(): string[] {
    return readdirSync(descriptorPath(this.#fd), { encoding: 'latin1' }).sort()
  }

  *#each(names: readonly string[]): Generator<SourceEntry> {
    for (let at = 0; at < names.length; at += AHEAD) {
      yield* inDirectory(this.#fd, () =>
        names
          .slice(at, at + AHEAD)
          .map((name) => this.#look(Buffer.from(name, 'latin1'), readAttributes)),
      )
    }
  }

  *#others(
    names: readonly string[],
    passes: (name: string) => boolean,
    attributesOf: AttributesOf,
  ): Generator<SourceEntry | Passed> {
    for (let at = 0; at < names.length; at += AHEAD) {
      const some = names.slice(at, at + AHEAD)
      const others = inDirectory(this.#fd, () =>
        some
          .filter((name) => !passes(name))
          .map((name) => this.#look(Buffer.from(name, 'latin1'), attributesOf)),
      )
      yield* others
      if (others.length < some.length) {
        yield { kind: 'passed', count: some.length - others.length }
      }
    }
  }

  /** A quick look at an entry of the directory in which the process stands; see `Passes`. */
  #glance(name: string): Glance | undefined {
    return this.#glanceAtFile(name) && lacksXattrs(glance.path) ? glance : undefined
  }

  #glanceAtFile(name: string): boolean {
    return glance.at(this.#fd, name) && glance.isFile
  }

  openSeen(name: string, seen: Sighting): SeenFile | undefined {
    return openSeen(anchoredPath(this.#fd, Buffer.from(name, 'latin1')), seen, this.#open)
  }

  look(name: Buffer): SourceEntry {
    return inDirectory(this.#fd, () => this.#look(name, readAttributes))
  }

  /** Look at an entry of the directory in which the process stands. */
  #look(name: Buffer, attributesOf: AttributesOf): SourceEntry {
    try {
      const stat = lstatSync(name, { bigint: true })
      return this.#describe(name, stat, attributesOf)
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === undefined) throw error
      return code === 'ENOENT' ? { kind: 'vanished', name } : { kind: 'unreadable', name, code }
    }
  }

  #describe(name: Buffer, stat: BigIntStats, attributesOf: AttributesOf): SourceEntry {
    if (stat.isSocket()) return { kind: 'socket', name, stat, attributes: none }
    const described = { name, stat, attributes: attributesOf(name) }
    const path = () => anchoredPath(this.#fd, name)
    if (stat.isFile()) {
      return { kind: 'file', ...described, open: () => openContent(path(), stat, this.#open) }
    }
    if (stat.isDirectory()) {
      const open = () => new OpenDirectory(openSync(path(), OPEN_DIRECTORY), this.#open)
      if (stat.dev === this.stat.dev) return { kind: 'dir', ...described, open }
      return { kind: 'dir', ...described, open, mount: isOnDisk(name) ? 'entered' : 'left-out' }
    }
    if (stat.isSymbolicLink()) {
      return { kind: 'symlink', ...described, target: readlinkSync(name, 'buffer') }
    }
    if (stat.isFIFO()) return { kind: 'fifo', ...described }
    return { kind: stat.isBlockDevice() ? 'dev' : 'chardev', ...described }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#fd)
  }
}
