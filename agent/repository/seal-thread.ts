// A thread of the writer: work in, answers out.
import { parentPort, workerData } from 'node:worker_threads'
import type { SealingKey } from './cipher.ts'
import { handedOver, SealBench, type Work } from './seal-work.ts'

// Buffers arrive as plain byte arrays.
const { encrypt, macK, macR } = workerData as SealingKey
const bench = new SealBench({
  encrypt: Buffer.from(encrypt),
  macK: Buffer.from(macK),
  macR: Buffer.from(macR),
})

parentPort!.on('message', (work: Work) => {
  const outcome = bench.do(work)
  parentPort!.postMessage(outcome, handedOver(outcome))
})
