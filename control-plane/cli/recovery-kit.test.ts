import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { toBase64, utf8 } from '../../shared/bytes.ts'
import { openEscrow } from './escrow.ts'
import {
  makeRecoveryKit,
  openSealed,
  readIdentities,
  recipientOf,
  sealTo,
  writeKit,
} from './recovery-kit.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-kit-'))

describe('the recovery kit', () => {
  it('is a file for its owner alone that opens what was sealed to its recipient', async () => {
    const kit = await makeRecoveryKit()
    const file = join(folder, 'kit.txt')
    await writeKit(file, kit, '2026-01-02T03:04:05.000Z')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const identities = await readIdentities(file)
    expect(await recipientOf(identities[0]!)).toBe(kit.recipient)
    const sealed = await sealTo(kit.recipient, utf8('secret'))
    expect(Buffer.from(await openSealed(sealed, identities)).toString()).toBe('secret')
  })

  it('is never overwritten', async () => {
    const file = join(folder, 'precious.txt')
    writeFileSync(file, 'the only copy')
    await expect(
      writeKit(file, await makeRecoveryKit(), '2026-01-02T03:04:05.000Z'),
    ).rejects.toMatchObject({
      code: 'already-exists',
      hint: expect.stringContaining('another file name'),
    })
    expect(readFileSync(file, 'utf8')).toBe('the only copy')
  })

  it('says what a file lacks that is no kit', async () => {
    const file = join(folder, 'letter.txt')
    writeFileSync(file, 'Dear Sir or Madam')
    await expect(readIdentities(file)).rejects.toThrow(
      `--identity ${file}: holds no line that begins with AGE-SECRET-KEY-1`,
    )
    await expect(readIdentities(join(folder, 'nowhere'))).rejects.toThrow('cannot be read')
  })

  it('opens the newest escrow it fits, and refuses those of other kits with exit code 12', async () => {
    const [mine, other] = [await makeRecoveryKit(), await makeRecoveryKit()]
    const escrow = async (n: number, recipient: string, text: string) => ({
      n,
      recipient,
      sealed: toBase64(await sealTo(recipient, utf8(text))),
    })
    const escrows = [
      await escrow(1, mine.recipient, 'old'),
      await escrow(2, mine.recipient, 'new'),
      await escrow(3, other.recipient, 'foreign'),
    ]
    expect(await openEscrow('web1', escrows, [mine.identity])).toBe('new')
    await expect(openEscrow('web1', escrows.slice(2), [mine.identity])).rejects.toMatchObject({
      code: 'wrong-password',
    })
    await expect(openEscrow('web1', [], [mine.identity])).rejects.toMatchObject({
      code: 'repository-absent',
    })
  })
})
