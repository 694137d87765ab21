// The whole product on a bucket: control plane, agent and mover. Times are the job's, as the control plane keeps them.
import { rmSync } from 'node:fs'
import { bucketPlace, type Fleet, type Job } from '../support/fleet.ts'
import { type Bucket, bucketSize, type Contender, type Deed } from './contender.ts'
import { childrenCpu, watchPeak } from './measure.ts'
import { judgeWith, type StockRestic } from './stock-restic.ts'

/** Enrols a host, whose repository is then empty. */
export async function startProduct(options: {
  restic: StockRestic
  fleet: Fleet
  name: string
  tree: string
  bucket: Bucket
}): Promise<Contender> {
  const { restic, fleet, name, tree, bucket } = options
  const host = await fleet.host(name, { directories: [tree], vault: bucket.vault })
  await host.offers(`directory:${tree}`)
  let snapshot: string | undefined

  async function measure(run: () => Promise<Job>): Promise<Deed> {
    const peak = watchPeak(() => host.mover())
    const before = childrenCpu(host.agent.pid)
    const job = await run()
    const peakBytes = peak()
    if (job.outcome !== 'succeeded')
      throw new Error(`${job.kind} ended as ${job.outcome} (${job.reason}): ${job.message}`)
    snapshot = job.snapshot ?? snapshot
    const moverSeconds = job.counts!.milliseconds! / 1_000
    const seconds = (Date.parse(job.finishedAt!) - Date.parse(job.startedAt!)) / 1_000
    // The mover ends a moment after its job.
    while (host.mover() !== undefined) await new Promise((resolve) => setTimeout(resolve, 10))
    const cpuSeconds = childrenCpu(host.agent.pid) - before
    return { seconds, peakBytes, cpuSeconds, moverSeconds }
  }

  return {
    backup: () => measure(() => host.backup(`directory:${tree}`)),
    backupStream: () => Promise.reject(new Error('a host has no stream to keep')),
    async restore(target) {
      const words = [snapshot ?? '', '--to-directory', target]
      return { ...(await measure(() => fleet.job('restore', ...words))), tree: target }
    },
    verify: () => measure(() => fleet.job('verify', '--host', name, '--read-data')),
    storedBytes: () => bucketSize(bucket, `repositories/${host.repository}/`),
    judge: () =>
      judgeWith(
        restic,
        fleet.folder,
        bucketPlace(bucket.rgw, bucket.name, host.repository),
        host.password(),
      ),
    async close() {
      await host.stop()
      rmSync(host.state, { recursive: true, force: true })
    },
  }
}
