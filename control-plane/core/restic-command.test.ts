import { describe, expect, it } from 'vitest'
import type { VaultCapabilities, VaultPlace } from '../../shared/vault/vault.ts'
import { UNKNOWN } from './probe.ts'
import { resticCommands } from './restic-command.ts'

const s3: VaultPlace = {
  kind: 's3',
  endpoint: 'https://fra1.digitaloceanspaces.com',
  region: 'fra1',
  bucket: 'backups',
  prefix: 'prod/',
  pathStyle: false,
}
const of = (
  place: VaultPlace,
  capabilities: VaultCapabilities | null,
  adoptedAt: string | null = null,
) =>
  resticCommands(
    { id: 'r1', vault: 'v1', place, adoptedAt, capabilities },
    { folder: (vault) => `/var/lib/hold fast/vaults/${vault}`, user: 'holdfast' },
  )

describe('the commands for stock restic', () => {
  it('on a disk vault name the user who may read it, and quote the path', () => {
    const { read, write } = of({ kind: 'disk' }, null)
    const base =
      "sudo -u holdfast env RESTIC_PASSWORD_FILE=recovery.password restic -r '/var/lib/hold fast/vaults/v1/repositories/r1'"
    expect(read).toBe(`${base} --no-lock snapshots`)
    expect(write).toBe(`${base} check`)
  })

  it('name the place of a repository that was there before', () => {
    expect(of({ kind: 'disk' }, null, 'old/restic/').read).toContain('/vaults/v1/old/restic')
    expect(of(s3, null, 'old/').read).toContain('/backups/old --no-lock')
  })

  it('on S3 read without a lock, and write where the probe saw that restic can', () => {
    const { read, write, notes } = of(s3, { ...UNKNOWN, stockResticWrites: true })
    expect(read).toContain(
      '-r s3:https://fra1.digitaloceanspaces.com/backups/prod/repositories/r1 --no-lock snapshots',
    )
    expect(read).toContain('s3.bucket-lookup=dns')
    expect(write).toMatch(/repositories\/r1 check$/)
    expect(write).not.toContain('--no-lock')
    expect(notes.join(' ')).toContain('as any user')
  })

  it('write through rclone where the probe saw that restic cannot, and say why', () => {
    const { write, notes } = of(s3, { ...UNKNOWN, stockResticWrites: false })
    expect(write).toContain('rclone:vault:backups/prod/repositories/r1')
    expect(notes.at(-1)).toContain('refuse what stock restic sends')
  })

  it('promise no write before the probe', () => {
    const { write, notes } = of(s3, null)
    expect(write).toBeUndefined()
    expect(notes.at(-1)).toContain('holdfast vault probe')
  })

  it('never hold a password or a key', () => {
    for (const place of [s3, { kind: 'disk' } as const]) {
      const { read } = of(place, null)
      expect(read).toContain('RESTIC_PASSWORD_FILE=')
      expect(read).not.toMatch(/RESTIC_PASSWORD=|SECRET_ACCESS_KEY=[^…]/)
    }
  })
})
