import { execFileSync } from 'node:child_process'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Clock } from '../../../shared/clock.ts'
import { configKey, packKey } from '../../../shared/vault/layout.ts'
import { type DiskVaultServer, startDiskVault } from '../../../test/support/disk-vault.ts'
import { systemClock } from '../../../test/support/system-clock.ts'
import { sendExactly } from '../exact-request.ts'
import { openVaultFolder } from './vault-folder.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-disk-'))
  cleanups.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}
async function start(options: Parameters<typeof startDiskVault>[0] = {}): Promise<DiskVaultServer> {
  const server = await startDiskVault(options)
  cleanups.push(() => server.stop())
  return server
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
function pack(length: number, repository: string = randomUUID()) {
  const bytes = new Uint8Array(randomBytes(length))
  const hash = sha256(bytes)
  const key = packKey(repository, hash)
  return {
    bytes,
    key,
    wanted: { key, bytes: length, sha256: hash, md5: '0'.repeat(32), seconds: 60 },
  }
}
const upload = async (server: DiskVaultServer, { bytes, wanted }: ReturnType<typeof pack>) => {
  const grant = await server.subject.objects.signPut(wanted)
  return sendExactly({
    method: 'PUT',
    url: grant.url,
    headers: Object.entries(grant.headers),
    body: bytes,
  })
}
const problemOf = (body: Uint8Array) => JSON.parse(Buffer.from(body).toString())

describe('the disk vault on its disk', () => {
  it('keeps files 0440 in folders 2770, and makes restic’s folders when config is put', async () => {
    const server = await start()
    const repository = randomUUID()
    await server.subject.objects.put(configKey(repository), new Uint8Array(100))
    const root = join(server.folder.root, 'repositories', repository)
    expect(readdirSync(root).sort()).toEqual([
      'config',
      'data',
      'index',
      'keys',
      'locks',
      'snapshots',
    ])
    expect(readdirSync(join(root, 'data'))).toHaveLength(256)
    expect(statSync(join(root, 'config')).mode & 0o7777).toBe(0o440)
    for (const folder of ['', 'data', 'data/00', 'data/ff', 'keys']) {
      expect(statSync(join(root, folder)).mode & 0o7777).toBe(0o2770)
    }
  })

  it('holds a repository that stock restic uses as it stands', { timeout: 120_000 }, async () => {
    const server = await start()
    const scratch = directory()
    const repository = randomUUID()
    const password = join(scratch, 'password')
    writeFileSync(password, 'not a secret in a test')
    writeFileSync(join(scratch, 'file'), randomBytes(300_000))
    const restic = (place: string, ...words: string[]) =>
      execFileSync('restic', ['--no-cache', '-q', '-p', password, '-r', place, ...words], {
        encoding: 'utf8',
      })
    // A repository made elsewhere is carried in object by object, as an agent would.
    const made = join(scratch, 'made')
    restic(made, 'init')
    restic(made, 'backup', join(scratch, 'file'))
    const { objects } = server.subject
    for (const entry of readdirSync(made, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(entry.parentPath, entry.name)
      const key = `repositories/${repository}${path.slice(made.length)}`
      expect(await objects.put(key, new Uint8Array(readFileSync(path)))).toBe('stored')
    }
    const place = join(server.folder.root, 'repositories', repository)
    restic(place, 'check', '--read-data')
    restic(place, 'backup', join(scratch, 'file'))
    restic(place, 'forget', '--keep-last', '1', '--prune')
    restic(place, 'check', '--read-data')
    expect(readdirSync(join(place, 'snapshots'))).toHaveLength(1)
  })

  it('removes what a crash left of unfinished uploads, and shows it to nobody meanwhile', async () => {
    const data = directory()
    const root = join(data, 'vaults', 'x')
    const folder = await openVaultFolder(root, 0)
    writeFileSync(join(root, '.incoming', 'leftover'), 'half a pack')
    const server = await start()
    writeFileSync(join(server.folder.root, '.incoming', 'leftover'), 'half a pack')
    expect((await server.subject.objects.list('', { limit: 10 })).objects).toEqual([])
    expect(existsSync(join(folder.root, '.incoming', 'leftover'))).toBe(true)
    await openVaultFolder(root, 0)
    expect(readdirSync(join(root, '.incoming'))).toEqual([])
  })

  it('leaves nothing behind when an upload is cut or wrong', async () => {
    const server = await start()
    const it = pack(100_000)
    const grant = await server.subject.objects.signPut(it.wanted)
    const headers = Object.entries(grant.headers)
    const send = { method: 'PUT', url: grant.url, headers, body: it.bytes }
    await sendExactly({ ...send, cutAfter: 50_000 })
    const wrong = await sendExactly({ ...send, body: new Uint8Array(100_000) })
    expect(wrong.status).toBe(400)
    expect(problemOf(wrong.body)).toMatchObject({
      code: 'invalid',
      detail: 'the bytes have another SHA-256 than was signed',
    })
    const incoming = join(server.folder.root, '.incoming')
    await expect.poll(() => readdirSync(incoming)).toEqual([])
    expect(server.faults).toEqual([])
    expect((await upload(server, it)).status).toBe(200)
  })

  it('says so with 507 when the disk is full, before and while it fills', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('mounting a small file system needs root')
    const data = directory()
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', data])
    cleanups.push(() => execFileSync('umount', [data]))
    const server = await start({ data })
    const early = await upload(server, pack(3_000_000))
    expect([early.status, problemOf(early.body).code]).toEqual([507, 'store-unavailable'])
    expect(problemOf(early.body).detail).toContain('the disk of the control plane is full')
    // Two at once that each fit alone: one of them, or both, meet the end of the disk while being written.
    const one = pack(1_200_000)
    const two = pack(1_200_000)
    const answers = await Promise.all([upload(server, one), upload(server, two)])
    expect(answers.map(({ status }) => status)).toContain(507)
    // What was given up gave its space back, and what was not stored can be sent again.
    const again = answers[0]!.status === 200 ? answers[0]! : await upload(server, one)
    expect(again.status).toBe(200)
    expect(readdirSync(join(server.folder.root, '.incoming'))).toEqual([])
    await expect(
      server.subject.objects.put(configKey(randomUUID()), new Uint8Array(3_000_000)),
    ).rejects.toMatchObject({
      code: 'store-unavailable',
      hint: expect.stringContaining('free space'),
    })
    expect(server.faults).toEqual([])
  })

  it('keeps the reserve free for the database', async () => {
    const server = await start({ reserveBytes: 2 ** 60 })
    expect((await upload(server, pack(1_000))).status).toBe(507)
  })

  it('does not read through a symlink', async () => {
    const server = await start()
    const it = pack(500)
    await upload(server, it)
    const secret = join(directory(), 'secret')
    writeFileSync(secret, 'secret')
    const other = pack(500, it.key.split('/')[1]!)
    const path = join(server.folder.root, other.key)
    const folder = join(path, '..')
    if (!existsSync(folder)) execFileSync('mkdir', ['-p', folder])
    symlinkSync(secret, path)
    const grant = await server.subject.objects.signGet({ key: other.key, seconds: 60 })
    const answer = await sendExactly({ method: 'GET', url: grant.url, headers: [] })
    expect(answer.status).toBe(500)
    expect(Buffer.from(answer.body).toString()).not.toContain('secret')
  })

  it('ends a URL’s life by the control plane’s clock, to the second', async () => {
    let now = Date.now()
    const clock: Clock = { ...systemClock, now: () => now }
    const server = await start({ clock })
    const it = pack(500)
    const grant = await server.subject.objects.signPut(it.wanted)
    now += 60_000
    const late = await sendExactly({
      method: 'PUT',
      url: grant.url,
      headers: Object.entries(grant.headers),
      body: it.bytes,
    })
    expect([late.status, problemOf(late.body).code]).toEqual([403, 'token-expired'])
    now -= 2_000
    expect((await upload(server, it)).status).toBe(200)
  })

  it('holds a fast sender back to the speed of the disk instead of keeping bytes in memory', async () => {
    const server = await start()
    const it = pack(64 * 1_024 * 1_024)
    global.gc?.()
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    }, 2)
    const answer = await upload(server, it)
    clearInterval(watch)
    expect(answer.status).toBe(200)
    // The sender's own 64 MiB are in `before`; what may come on top is buffers, not the pack again.
    expect(most).toBeLessThan(48 * 1_024 * 1_024)
  })
})
