// The whole product on a bucket: control plane, agent and mover. Times are the job's, as the control plane keeps them.
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bucketPlace, type Fleet, type Job } from '../support/fleet.ts'
import { type Bucket, bucketSize, type Contender, type Deed } from './contender.ts'
import { childrenCpu, watchPeak } from './measure.ts'
import { judgeWith, type StockRestic } from './stock-restic.ts'

/** Pause between two looks for a mover that is about to end, in ms. */
const LOOK_AGAIN = 10

/** Enrols a host, whose repository is then empty. */
export async function startProduct(options: {
  restic: StockRestic
  fleet: Fleet
  name: string
  tree: string
  bucket: Bucket
}): Promise<Contender> {
  const { restic, fleet, name, tree, bucket } = options
  const gone = join(fleet.folder, `gone-${name}`)
  mkdirSync(gone)
  const host = await fleet.host(name, { directories: [tree, gone], vault: bucket.vault })
  for (const directory of [tree, gone]) await host.offers(`directory:${directory}`)
  // The first job makes the repository. Restic's is not counted either, so a job that finds nothing does it.
  rmSync(gone, { recursive: true })
  const empty = await host.backup(`directory:${gone}`)
  if (empty.reason !== 'source-missing') throw new Error(`a backup of nothing: ${empty.message}`)
  let snapshot: string | undefined

  async function measure(run: () => Promise<Job>): Promise<Deed> {
    const movers = new Set<number>()
    const peak = watchPeak(() => {
      const mover = host.mover()
      if (mover !== undefined) movers.add(mover)
      return mover
    })
    const before = childrenCpu(host.agent.pid)
    const job = await run()
    const peakBytes = peak()
    if (job.outcome !== 'succeeded')
      throw new Error(`${job.kind} ended as ${job.outcome} (${job.reason}): ${job.message}`)
    snapshot = job.snapshot ?? snapshot
    const moverSeconds = job.counts!.milliseconds! / 1_000
    const seconds = (Date.parse(job.finishedAt!) - Date.parse(job.startedAt!)) / 1_000
    // A mover ends a moment after its job; its time counts with its parent's once it was waited for.
    while ([...movers].some((mover) => existsSync(`/proc/${mover}`))) await sleep(LOOK_AGAIN)
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
