// Vitest calls this once around a run: the rig's server lives as long as the run does.

import { startRigServer } from './server.ts'

export default async function setup(): Promise<() => Promise<void>> {
  const say = (sentence: string) => process.stderr.write(`rig: ${sentence}\n`)
  const server = await startRigServer(say)
  process.env.HOLDFAST_RIG = server.url
  return async () => {
    await server.stop()
    if (server.refusals.length === 0) return
    process.stderr.write('\nCOULD NOT RUN (their tests are counted as skipped):\n')
    for (const sentence of server.refusals) process.stderr.write(`  ${sentence}\n`)
  }
}
