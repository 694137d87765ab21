// A disk vault behind a real HTTP server on loopback.
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDiskVault } from '../../control-plane/node/disk-objects/disk-objects.ts'
import { createVaultDoor } from '../../control-plane/node/disk-objects/vault-door.ts'
import {
  openVaultFolder,
  type VaultFolder,
} from '../../control-plane/node/disk-objects/vault-folder.ts'
import type { VaultSubject } from '../../control-plane/ports/vault-subject.ts'
import type { Clock } from '../../shared/clock.ts'
import { systemClock } from './system-clock.ts'

export interface DiskVaultServer {
  readonly subject: VaultSubject
  readonly folder: VaultFolder
  readonly origin: string
  readonly faults: unknown[]
  stop(): Promise<void>
}

export async function startDiskVault(
  options: { data?: string; clock?: Clock; reserveBytes?: number } = {},
): Promise<DiskVaultServer> {
  const { clock = systemClock, reserveBytes = 0 } = options
  const data = options.data ?? mkdtempSync(join(tmpdir(), 'holdfast-vault-'))
  const vault = randomUUID()
  const folder = await openVaultFolder(join(data, 'vaults', vault), reserveBytes)
  const urlKey = new Uint8Array(randomBytes(32))
  const faults: unknown[] = []
  const door = createVaultDoor({
    folderOf: async (id) => (id === vault ? folder : undefined),
    urlKey,
    clock,
    onFault: (error) => faults.push(error),
  })
  const server = createServer((request, response) => {
    if (!door(request, response)) response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    subject: createDiskVault({ vault, folder, publicUrl: origin, urlKey, clock }),
    folder,
    origin,
    faults,
    async stop() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
      if (options.data === undefined) rmSync(data, { recursive: true, force: true })
    },
  }
}
