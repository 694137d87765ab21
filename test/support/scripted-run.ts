// Batches as the control plane would send them.
import { newId } from '../../shared/ids.ts'
import type { AssignedJob, Run } from '../../shared/protocol/from-control.ts'
import { systemClock, systemRandom } from './system-clock.ts'

const newOne = () => newId(systemClock, systemRandom)

export function job(parameters: AssignedJob['parameters'], attempt = 1): AssignedJob {
  return { id: newOne(), attempt, fence: attempt, parameters }
}

/** A backup of a directory whose scripted mover does as `script` says. */
export function backupJob(path: string, script = 'commit'): AssignedJob {
  return job({
    kind: 'backup',
    source: { kind: 'directory', path },
    time: new Date(systemClock.now()).toISOString(),
    tags: [script],
    volatile: [],
    readAll: false,
  })
}

export function runOf(
  repository: string,
  jobs: AssignedJob[],
  more: Partial<Run> & { repositoryMore?: Partial<Run['repository']> } = {},
): Run {
  const { repositoryMore, ...rest } = more
  return {
    type: 'run',
    batch: newOne(),
    repository: {
      id: repository,
      hostname: 'web-1',
      epoch: 0,
      ready: true,
      foreign: false,
      ...repositoryMore,
    },
    leaseSeconds: 600,
    jobs,
    ...rest,
  }
}
