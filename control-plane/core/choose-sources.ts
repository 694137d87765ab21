// What a backup that somebody asked for will cover.
import { HoldfastError } from '../../shared/errors.ts'
import type { FleetHost, FleetSource, FleetStore } from '../ports/store/fleet.ts'
import type { PoliciesStore, Policy } from '../ports/store/policies.ts'
import { InvalidFields } from './problem.ts'
import { selects } from './selector.ts'

/** Most sources of one request. */
const MAX_SOURCES = 1_000

export interface WantedSources {
  /** Id or name; without it a policy covers the whole fleet. */
  readonly host?: string | undefined
  /** `volume:<name>` or `directory:<path>`, of that host. */
  readonly sources?: readonly string[] | undefined
  readonly policy?: string | undefined
}

/** At least one source, all there and able to be backed up. Throws saying which is not. */
export async function chooseSources(
  deps: { fleet: FleetStore; policies: Pick<PoliciesStore, 'find'> },
  wanted: WantedSources,
): Promise<{ policy: Policy | undefined; chosen: readonly FleetSource[] }> {
  const policy = wanted.policy === undefined ? undefined : await deps.policies.find(wanted.policy)
  if (wanted.policy !== undefined && policy === undefined) {
    throw new HoldfastError('not-found', `there is no policy "${wanted.policy}"`)
  }
  const host = wanted.host === undefined ? undefined : await deps.fleet.host(wanted.host)
  if (wanted.host !== undefined && host === undefined) {
    throw new HoldfastError('not-found', `there is no host "${wanted.host}"`)
  }
  if (wanted.sources !== undefined && host === undefined) {
    throw new InvalidFields([
      { path: ['host'], message: 'sources are named together with their host' },
    ])
  }
  const there = await deps.fleet.sources({ host: host?.id, gone: false })
  const chosen =
    host !== undefined && wanted.sources !== undefined
      ? pick(host, there, [...new Set(wanted.sources)])
      : policy === undefined
        ? undefined
        : there.filter((source) => selects(policy.document.select, source))
  if (chosen === undefined) {
    throw new InvalidFields([
      { path: ['sources'], message: 'say what to back up: sources of a host, or a policy' },
    ])
  }
  if (chosen.length === 0) {
    const where = host === undefined ? '' : ` on host "${host.name}"`
    throw new HoldfastError('not-found', `policy "${policy?.name}" covers nothing${where}`)
  }
  if (chosen.length > MAX_SOURCES) {
    throw new HoldfastError(
      'too-large',
      `${chosen.length} sources at once; the limit is ${MAX_SOURCES}`,
      { hint: 'ask host by host' },
    )
  }
  // Whether the host has a recovery recipient is its own affair and may have changed since it enrolled: the
  // operator may have written one into its file, of which we hear with the first repository. Its agent judges.
  return { policy, chosen }
}

/** Sources of a request, each of which must be there. */
function pick(
  host: FleetHost,
  there: readonly FleetSource[],
  wanted: readonly string[],
): FleetSource[] {
  return wanted.map((name) => {
    const found = there.find(({ source }) => source === name)
    if (found === undefined) {
      throw new HoldfastError('not-found', `host "${host.name}" has no source "${name}"`, {
        hint: `\`holdfast sources --host ${host.name}\` lists what it has; a volume is named volume:<name>`,
      })
    }
    if (found.unsupported !== null) {
      throw new HoldfastError(
        'invalid',
        `source "${name}" cannot be backed up: ${found.unsupported}`,
      )
    }
    return found
  })
}
