// What a restore will do, settled before anything is asked of a host. Pure.
import type { ParametersOf, RestoreTarget } from '../../shared/backup/job.ts'
import { formatSource, parseSource } from '../../shared/backup/source.ts'
import type { Snapshot } from '../ports/store/catalogue.ts'
import type { FleetHost, FleetSource } from '../ports/store/fleet.ts'
import { InvalidFields } from './problem.ts'

export interface WantedRestore {
  readonly target: RestoreTarget
  readonly paths: readonly string[]
  /** The recovery password, sealed to the target host's recipient: for a snapshot of another host only. */
  readonly sealedPassword?: string | undefined
}

/**
 * The job's parameters. Throws `invalid` naming the field when the target cannot be used or the password is
 * missing or not called for. `there` is what the target host has.
 */
export function planRestore(
  snapshot: Snapshot,
  host: FleetHost,
  there: readonly FleetSource[],
  wanted: WantedRestore,
): ParametersOf<'restore'> {
  checkPassword(snapshot, host, wanted.sealedPassword)
  checkTarget(wanted.target, host, there)
  const source = parseSource(snapshot.source)
  const keepsName =
    source.kind === 'volume' &&
    wanted.target.kind !== 'directory' &&
    wanted.target.name === source.name
  return {
    kind: 'restore',
    snapshot: snapshot.id,
    source,
    target: wanted.target,
    paths: [...wanted.paths],
    ...(snapshot.volume === null
      ? {}
      : { volume: { ...snapshot.volume, labels: restoredLabels(snapshot, keepsName) } }),
    ...(wanted.sealedPassword === undefined ? {} : { sealedPassword: wanted.sealedPassword }),
  }
}

function checkPassword(snapshot: Snapshot, host: FleetHost, sealed: string | undefined): void {
  if (host.id !== snapshot.host && sealed === undefined) {
    throw new InvalidFields(
      [
        {
          path: ['sealedPassword'],
          message: `the snapshot is of host "${snapshot.hostName}": its recovery password, sealed to the recipient of "${host.name}", is needed`,
        },
      ],
      { hint: '`holdfast restore --host` seals it from the recovery kit' },
    )
  }
  if (host.id === snapshot.host && sealed !== undefined) {
    throw new InvalidFields([
      { path: ['sealedPassword'], message: 'the host opens its own repository; leave it out' },
    ])
  }
}

function checkTarget(target: RestoreTarget, host: FleetHost, there: readonly FleetSource[]): void {
  const problem = (field: string, message: string, hint?: string): never => {
    throw new InvalidFields(
      [{ path: ['target', field], message }],
      hint === undefined ? {} : { hint },
    )
  }
  if (target.kind === 'directory') {
    const parts = target.path.slice(1).split('/')
    if (parts.some((part) => part === '' || part === '.' || part === '..')) {
      problem('path', 'must be an absolute path without empty, "." or ".." parts')
    }
    return
  }
  const exists = there.some(
    ({ source }) => source === formatSource({ kind: 'volume', name: target.name }),
  )
  if (target.kind === 'new-volume' && exists) {
    problem(
      'name',
      `volume "${target.name}" exists on host "${host.name}"; a restore makes a new volume`,
      'choose another name, or restore in place',
    )
  }
  if (target.kind === 'in-place' && !exists) {
    problem('name', `host "${host.name}" has no volume "${target.name}"`, 'restore to a new volume')
  }
}

/** Under its own name a volume gets its labels back; under a new one Compose must not take it for its own. */
function restoredLabels(snapshot: Snapshot, keepsName: boolean): Record<string, string> {
  const labels = snapshot.volume?.labels ?? {}
  if (keepsName) return { ...labels }
  const kept = Object.entries(labels).filter(([name]) => !name.startsWith('com.docker.compose.'))
  return {
    ...Object.fromEntries(kept),
    'holdfast.restored-from': `${snapshot.hostName}/${snapshot.source}@${snapshot.id.slice(0, 8)}`,
  }
}
