// A thread of the check: one pack after another, faults back.
import { parentPort, workerData } from 'node:worker_threads'
import { OpeningRoom, packFaults } from './check-pack-data.ts'
import { fromWords, type PackMessage } from './check-pool.ts'
import type { SealingKey } from './cipher.ts'
import { release } from './release.ts'

// Buffers arrive as plain byte arrays.
const { encrypt, macK, macR } = workerData as SealingKey
const key: SealingKey = {
  encrypt: Buffer.from(encrypt),
  macK: Buffer.from(macK),
  macR: Buffer.from(macR),
}
const room = new OpeningRoom()

parentPort!.on('message', ({ id, bytes, blobs }: PackMessage) => {
  const faults = packFaults(key, { id, blobs: fromWords(blobs) }, bytes, room)
  release(bytes)
  parentPort!.postMessage(faults)
})
