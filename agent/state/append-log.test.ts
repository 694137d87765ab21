import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AppendLog } from './append-log.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-log-'))
  path = join(folder, 'log')
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('AppendLog', () => {
  it('gives back what was appended, in order, to whoever opens it next', () => {
    const { log } = AppendLog.open(path)
    const records = [{ a: 1 }, { b: 'ä\n"€"' }, [null, true]]
    for (const record of records) log.append(record)
    log.close()
    expect(AppendLog.open(path)).toMatchObject({ records, torn: 0 })
  })

  it('keeps every whole record when the file is cut at any byte, and goes on from there', () => {
    const { log } = AppendLog.open(path)
    const lengths = [0]
    for (let i = 0; i < 5; i++) {
      log.append({ i, text: 'größer' })
      lengths.push(log.length)
    }
    log.close()
    const whole = readFileSync(path)
    for (let cut = 0; cut <= whole.length; cut++) {
      writeFileSync(path, whole.subarray(0, cut))
      const kept = lengths.filter((length) => length <= cut).length - 1
      const opened = AppendLog.open(path)
      expect(opened.records).toHaveLength(kept)
      expect(opened.torn).toBe(cut - lengths[kept]!)
      opened.log.append({ after: cut })
      opened.log.close()
      const again = AppendLog.open(path)
      expect(again.records.at(-1)).toEqual({ after: cut })
      expect(again.records).toHaveLength(kept + 1)
      again.log.close()
    }
  })

  it('drops a record whose bytes are not those that were written', () => {
    const { log } = AppendLog.open(path)
    log.append({ n: 1 })
    log.append({ n: 2 })
    log.close()
    const bytes = readFileSync(path)
    bytes[bytes.length - 3] = 0x39
    writeFileSync(path, bytes)
    expect(AppendLog.open(path).records).toEqual([{ n: 1 }])
  })

  it('takes zeros at the end, as some file systems leave after a power cut, for a torn tail', () => {
    const { log } = AppendLog.open(path)
    log.append({ n: 1 })
    log.close()
    appendFileSync(path, Buffer.alloc(4_096))
    expect(AppendLog.open(path)).toMatchObject({ records: [{ n: 1 }], torn: 4_096 })
  })

  it('replaces everything at once, and is empty after being emptied', () => {
    const { log } = AppendLog.open(path)
    for (let i = 0; i < 10; i++) log.append({ i })
    log.rewrite([{ i: 8 }, { i: 9 }])
    log.append({ i: 10 })
    expect(AppendLog.open(path).records).toEqual([{ i: 8 }, { i: 9 }, { i: 10 }])
    log.rewrite([])
    expect(log.length).toBe(0)
    log.append({ i: 11 })
    expect(AppendLog.open(path).records).toEqual([{ i: 11 }])
  })

  it('ignores what a writer left beside the file when it died in a rewrite', () => {
    const { log } = AppendLog.open(path)
    log.append({ n: 1 })
    log.close()
    writeFileSync(`${path}.new`, 'half a')
    const opened = AppendLog.open(path)
    opened.log.rewrite([{ n: 2 }])
    truncateSync(path, opened.log.length)
    expect(AppendLog.open(path).records).toEqual([{ n: 2 }])
  })
})
