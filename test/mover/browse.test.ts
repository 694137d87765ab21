// What a person reads out of a snapshot: pages that only they can open, and nothing in the clear on the way.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ParametersOf } from '../../shared/backup/job.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, runMover } from './drive.ts'
import { openAgeBytes, type Scene, setScene } from './scene.ts'

interface Entry {
  name: string
  type: string
  size: number
  mtime: string
  mode: number
  uid: number
  gid: number
  linktarget?: string
}

describe('browse', () => {
  let scene: Scene
  let snapshot: string
  const content = createSeeded('browse').bytes(2_500_000)

  beforeAll(async () => {
    scene = await setScene()
    const source = scene.make('source')
    mkdirSync(join(source, 'many'))
    for (let i = 0; i < 2_100; i++) writeFileSync(join(source, 'many', `file ${i}`), '')
    mkdirSync(join(source, 'deep/er'), { recursive: true })
    writeFileSync(join(source, 'deep/er/record'), content)
    writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.of(0xff, 0xfe)]), 'x')
    symlinkSync('../away', join(source, 'link'))
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source)])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    snapshot = scene.plane.receipts[0]!.snapshot
  })
  afterAll(() => scene?.close())

  async function browse(path: string | Buffer, what: ParametersOf<'browse'>['what']) {
    const identity = await generateX25519Identity()
    const from = scene.plane.pages.length
    const ran = await runMover(scene.host, scene.plane, [
      {
        parameters: {
          kind: 'browse',
          snapshot,
          source: { kind: 'volume', name: 'v' },
          path: Buffer.from(path).toString('base64'),
          what,
          recipient: await identityToRecipient(identity),
        },
      },
    ])
    const pages = scene.plane.pages.slice(from)
    expect(pages.map(({ page }) => page)).toEqual(pages.map((_, i) => i))
    expect(pages.map(({ last }) => last)).toEqual(pages.map((_, i) => i === pages.length - 1))
    const plain: Buffer[] = []
    for (const { bytes } of pages) plain.push(Buffer.from(await openAgeBytes(bytes, identity)))
    return { ran, plain }
  }

  const entriesOf = (page: Buffer): Entry[] =>
    page
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Entry)
  const nameOf = ({ name }: Entry) => Buffer.from(name, 'base64')

  it('lists one directory with raw names', async () => {
    const { ran, plain } = await browse('', 'list')
    expect(ran.done).toMatchObject([{ outcome: 'succeeded', counts: { files: 4 } }])
    const entries = entriesOf(plain[0]!)
    expect(entries.map(nameOf)).toEqual([
      Buffer.from('deep'),
      Buffer.from('link'),
      Buffer.from('many'),
      Buffer.of(0xff, 0xfe),
    ])
    expect(entries[1]).toMatchObject({
      type: 'symlink',
      linktarget: Buffer.from('../away').toString('base64'),
      mode: 0o777,
    })
  })

  it('pages a long listing by a thousand', async () => {
    const { plain } = await browse('many', 'list')
    expect(plain.map((page) => entriesOf(page).length)).toEqual([1_000, 1_000, 100])
  })

  it('lists everything below a directory by its path', async () => {
    const { plain } = await browse('deep', 'tree')
    expect(entriesOf(plain[0]!).map((entry) => nameOf(entry).toString())).toEqual([
      'er',
      'er/record',
    ])
  })

  it('gives the bytes of a file in pages of a mebibyte', async () => {
    const { ran, plain } = await browse('deep/er/record', 'file')
    expect(plain.map((page) => page.length)).toEqual([2 ** 20, 2 ** 20, content.length - 2 ** 21])
    expect(Buffer.concat(plain).equals(content)).toBe(true)
    expect(ran.done[0]?.counts).toMatchObject({ files: 1, bytes: content.length })
  })

  it('gives one empty page for an empty file', async () => {
    const { plain } = await browse('many/file 7', 'file')
    expect(plain.map((page) => page.length)).toEqual([0])
  })

  it('says when the path is not there or is no file, without repeating it', async () => {
    for (const [path, what] of [
      ['deep/secret', 'list'],
      ['deep', 'file'],
      ['../../etc', 'list'],
    ] as const) {
      const { ran, plain } = await browse(path, what)
      expect(plain).toEqual([])
      expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'snapshot-missing' }])
      expect(ran.said).not.toContain('secret')
    }
  })

  it('lets no name and no content leave in the clear', async () => {
    const { ran } = await browse('deep', 'tree')
    const sent = JSON.stringify(scene.plane.asked.map(({ body }) => body))
    for (const text of ['record', Buffer.from('record').toString('base64'), 'er/record']) {
      expect(sent).not.toContain(text)
      expect(ran.said).not.toContain(text)
    }
  })

  it('says when there is no such snapshot', async () => {
    const gone = snapshot
    snapshot = 'f'.repeat(64)
    const { ran } = await browse('', 'list')
    snapshot = gone
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'snapshot-missing' }])
  })
})
