// Vaults on a real database, a real disk behind real HTTP, and whatever else a test connects.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase } from '../../control-plane/adapters/libsql/client.ts'
import { createVaultsStore } from '../../control-plane/adapters/libsql/store/vaults.ts'
import type { Identity } from '../../control-plane/core/access.ts'
import { createSecretBox } from '../../control-plane/core/secret-box.ts'
import { createVaults } from '../../control-plane/core/vaults.ts'
import { createVaultDoor } from '../../control-plane/node/disk-objects/vault-door.ts'
import { sendExactly } from '../../control-plane/node/exact-request.ts'
import { createVaultConnector } from '../../control-plane/node/vault-connector.ts'
import type { SendExactly } from '../../control-plane/ports/exact-request.ts'
import { systemClock, systemRandom } from '../support/system-clock.ts'

export const admin: Identity = { token: '0123456789abcdef', name: 'admin', role: 'admin' }
export const md5Hex = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex')

export type VaultWorld = Awaited<ReturnType<typeof openVaultWorld>>

export async function openVaultWorld() {
  /** `send` stands between the probe and the vault, and `skewMs` is how far our clock is ahead. */
  const knobs = { send: sendExactly as SendExactly, skewMs: 0 }
  const clock = { ...systemClock, now: () => Math.floor(systemClock.now()) + knobs.skewMs }
  const data = mkdtempSync(join(tmpdir(), 'holdfast-vaults-'))
  const database = await openDatabase({ url: `file:${join(data, `${randomUUID()}.db`)}` })
  const urlKey = new Uint8Array(randomBytes(32))
  const masterKeys = [new Uint8Array(randomBytes(32))]
  const server = createServer((request, response) => {
    if (!door(request, response)) response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const publicUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const connector = createVaultConnector({
    dataDirectory: data,
    publicUrl,
    urlKey,
    clock,
    reserveBytes: 0,
  })
  const door = createVaultDoor({
    folderOf: connector.folderOf,
    urlKey,
    clock,
    onFault: (error) => {
      throw error
    },
  })
  const secretBox = await createSecretBox({ masterKeys, random: systemRandom })
  const service = (connect = connector.connect) =>
    createVaults({
      clock,
      random: systemRandom,
      store: createVaultsStore(database),
      secretBox,
      connect,
      send: (request) => knobs.send(request),
      md5Hex,
    })
  return {
    ...{ knobs, database, connector, service },
    vaults: service(),
    async events() {
      const { rows } = await database.read('SELECT action, target, entry FROM audit ORDER BY seq')
      return rows.map(({ action, target, entry }) => ({
        action,
        target,
        details: JSON.parse(String(entry)).details,
      }))
    },
    async alerts() {
      const { rows } = await database.read("SELECT body FROM queue WHERE topic = 'alert'")
      return rows.map(({ body }) => JSON.parse(String(body)))
    },
    async close() {
      database.close()
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
      rmSync(data, { recursive: true, force: true })
    },
  }
}
