// A container that does nothing but hold a volume mounted, so that its files show on the host.
import { existsSync } from 'node:fs'
import type { Clock, Duration } from '../../shared/clock.ts'
import { SECOND } from '../../shared/clock.ts'
import { type Engine, type EngineInfo, engineMessage } from './engine.ts'
import { currentMounts, mountAt } from './mountinfo.ts'

/** Every container of ours carries it, with the id of the agent's host: what is left over is found by it. */
export const HOLDER_LABEL = 'holdfast.holder'
const IMAGE = 'holdfast/empty:1'
/** Where the volume lies inside; nobody looks there. */
const TARGET = '/volume'
/** What `sleep` needs: the host's own programs and libraries, read-only. */
const PROGRAM_FOLDERS = ['/usr', '/bin', '/lib', '/lib64', '/lib32']
/** Longest number every `sleep` takes, in seconds: 68 years. */
const FOREVER = '2147483647'
/** The mount shows a moment after the container started. */
const APPEARS_WITHIN: Duration = 10 * SECOND
const LOOK_EVERY: Duration = 0.05 * SECOND

export interface Holder {
  /** Id of the mount it holds: while this very mount is there, what was read was the volume. */
  readonly mountId: number
  release(): Promise<void>
}

/** The volume could not be mounted, in the engine's words. */
export class NotMountedError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'NotMountedError'
  }
}

/**
 * Hold `volume` so that it shows at `path`. Rejects with `NotMountedError` when the engine cannot
 * mount it. The container is removed by `release`, or by `removeLeftovers` at the agent's next start.
 */
export async function holdVolume(deps: {
  engine: Engine
  info: EngineInfo
  volume: string
  /** Where the agent expects to see it. */
  path: string
  /** Id of this host. */
  host: string
  clock: Clock
}): Promise<Holder> {
  const { engine, info, volume, path, host, clock } = deps
  if (!(await engine.hasImage(IMAGE))) await engine.importEmptyImage(IMAGE)
  const id = await createSleeper(engine, info, volume, host)
  try {
    await engine.start(id)
    const ends = clock.monotonic() + APPEARS_WITHIN
    for (;;) {
      const mount = mountAt(currentMounts(), path)
      if (mount !== undefined) return { mountId: mount.id, release: () => engine.remove(id) }
      if (clock.monotonic() > ends) {
        throw new NotMountedError('the engine mounted the volume, but the agent cannot see it')
      }
      await clock.sleep(LOOK_EVERY)
    }
  } catch (error) {
    await engine.remove(id)
    if (error instanceof NotMountedError) throw error
    throw new NotMountedError(engineMessage(error))
  }
}

/**
 * A folder that the host lacks is left out: which ones there are is only known to the engine when the
 * agent itself runs in a container.
 */
async function createSleeper(
  engine: Engine,
  info: EngineInfo,
  volume: string,
  host: string,
): Promise<string> {
  let folders = PROGRAM_FOLDERS.filter((folder) => folder !== '/lib32' || existsSync(folder))
  for (;;) {
    try {
      return await engine.createContainer({
        image: IMAGE,
        command: ['sleep', FOREVER],
        labels: { [HOLDER_LABEL]: host },
        binds: folders.map((folder) => ({ source: folder, target: folder })),
        volume: { name: volume, target: TARGET },
        selinux: info.selinux,
      })
    } catch (error) {
      const missing = folders.find((folder) =>
        engineMessage(error).endsWith(`bind source path does not exist: ${folder}`),
      )
      if (missing === undefined) throw new NotMountedError(engineMessage(error))
      folders = folders.filter((folder) => folder !== missing)
    }
  }
}

/** Remove the holders an earlier run of this host's agent left behind. Resolves with their number. */
export async function removeLeftovers(engine: Engine, host: string): Promise<number> {
  const left = (await engine.containers()).filter((c) => c.labels[HOLDER_LABEL] === host)
  for (const container of left) await engine.remove(container.id)
  return left.length
}
