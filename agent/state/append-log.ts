// A file of records that survives a crash at any byte: a record is there whole, or it is not there.
import { closeSync, fdatasyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { isDiskFull, type Reserve } from './reserve.ts'
import { PRIVATE_FILE, syncDirectory, writeWhole } from './write-file.ts'

const NEWLINE = 0x0a
/** Eight hex digits of the CRC and a space. */
const HEAD = 9

function lineOf(record: unknown): string {
  const text = JSON.stringify(record)
  return `${crc32(text).toString(16).padStart(8, '0')} ${text}\n`
}

/** The records of the longest whole prefix of `bytes`, and that prefix's length. */
function readPrefix(bytes: Buffer): { records: unknown[]; length: number } {
  const records: unknown[] = []
  let at = 0
  for (;;) {
    const end = bytes.indexOf(NEWLINE, at)
    if (end === -1) return { records, length: at }
    const text = bytes.toString('utf8', at + HEAD, end)
    const sum = bytes.toString('latin1', at, at + HEAD - 1)
    if (end - at < HEAD || crc32(text).toString(16).padStart(8, '0') !== sum) {
      return { records, length: at }
    }
    records.push(JSON.parse(text))
    at = end + 1
  }
}

/**
 * Records in the order they were appended. A record is durable when `append` returns. After a failed
 * `append` the file is cut back to its last whole record; when even that fails the log is unusable and says so.
 */
export class AppendLog {
  readonly #path: string
  readonly #reserve: Reserve | undefined
  #fd: number
  #length: number
  #broken = false

  private constructor(path: string, fd: number, length: number, reserve: Reserve | undefined) {
    this.#path = path
    this.#fd = fd
    this.#length = length
    this.#reserve = reserve
  }

  /** Open or create the file; a torn tail is cut off, its bytes are counted in `torn`. */
  static open(
    path: string,
    reserve?: Reserve,
  ): { log: AppendLog; records: unknown[]; torn: number } {
    const fd = openSync(path, 'a+', PRIVATE_FILE)
    const bytes = readFileSync(path)
    const { records, length } = readPrefix(bytes)
    if (length < bytes.length) ftruncateSync(fd, length)
    syncDirectory(dirname(path))
    return {
      log: new AppendLog(path, fd, length, reserve),
      records,
      torn: bytes.length - length,
    }
  }

  /** Bytes on disk. */
  get length(): number {
    return this.#length
  }

  append(record: unknown): void {
    this.#usable()
    const bytes = Buffer.from(lineOf(record))
    for (;;) {
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at)
        // If we die here the record may be torn; whoever opens the file next cuts it off.
        fdatasyncSync(this.#fd)
        this.#length += bytes.length
        return
      } catch (error) {
        this.#cutBack()
        if (!isDiskFull(error) || !(this.#reserve?.release() ?? false)) throw error
      }
    }
  }

  /** Replace everything by `records`, in one step that a crash cannot split. */
  rewrite(records: readonly unknown[]): void {
    this.#usable()
    if (records.length === 0) {
      ftruncateSync(this.#fd, 0)
      this.#length = 0
      return
    }
    const text = records.map(lineOf).join('')
    for (;;) {
      try {
        writeWhole(this.#path, text)
        break
      } catch (error) {
        if (!isDiskFull(error) || !(this.#reserve?.release() ?? false)) throw error
      }
    }
    closeSync(this.#fd)
    this.#fd = openSync(this.#path, 'a', PRIVATE_FILE)
    this.#length = Buffer.byteLength(text)
  }

  close(): void {
    if (!this.#broken) closeSync(this.#fd)
    this.#broken = true
  }

  #usable(): void {
    if (this.#broken) throw new Error('this log is closed or its file could not be repaired')
  }

  #cutBack(): void {
    try {
      ftruncateSync(this.#fd, this.#length)
    } catch (error) {
      this.#broken = true
      closeSync(this.#fd)
      throw error
    }
  }
}
