// Everything that must be true before a mover begins, job by job: rules, rights, paths, mounts, targets.

import type { Clock } from '../../shared/clock.ts'
import type { AssignedJob } from '../../shared/protocol/from-control.ts'
import { type Capability, missingCapabilities, READING, RESTORING } from '../docker/capabilities.ts'
import type { Engine } from '../docker/engine.ts'
import type { PreparedJob } from '../ipc/messages.ts'
import type { Log } from '../log/log.ts'
import type { HostRules } from './host-rules.ts'
import { JobRefusal } from './job-refusal.ts'
import type { Journal } from './journal.ts'
import type { HostKey } from './passwords.ts'
import { prepareRestore } from './prepare-restore.ts'
import { prepareSource } from './prepare-source.ts'

export interface PrepareDeps {
  readonly host: string
  readonly rules: HostRules
  readonly journal: Journal
  readonly hostKey: () => Promise<HostKey>
  readonly clock: Clock
  readonly log: Log
  /** The engine while it answers, and whether it runs on this machine. */
  readonly engine: () => Engine | undefined
  readonly engineIsLocal: boolean
  readonly volumesRoot: string | undefined
  readonly stateDirectory: string
}

/** A job that may begin. */
export interface ReadyJob {
  readonly prepared: PreparedJob
  /** Is what is being read still the source? Asked before its snapshot is committed. */
  stillThere(): boolean
  /** May what was built take the place of what is live? Asked right before. Rejects with `in-use`. */
  mayExchange?(): Promise<void>
  /** The source is read, or the job is over: undo what was done for it. Called at least once; repeats do nothing. */
  release(): Promise<void>
  /** The job is over. */
  settle(): Promise<void>
}

export function requireCapabilities(wanted: readonly Capability[], what: string): void {
  const missing = missingCapabilities(wanted)
  if (missing.length === 0) return
  const names = missing.map((name) => `CAP_${name}`).join(', ')
  throw new JobRefusal('permission-denied', `the agent lacks ${names}, needed for ${what}`)
}

function plain(job: AssignedJob): ReadyJob {
  const nothing = async () => {}
  return {
    prepared: { job: job.id, idShift: 0 },
    stillThere: () => true,
    release: nothing,
    settle: nothing,
  }
}

/** What the client of an engine that is gone says; no answer came, so there is no status. */
const gone = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'EACCES'])

/** Prepare one job. Rejects with `JobRefusal` when it cannot be carried out, having undone what it did. */
export async function prepareJob(
  deps: PrepareDeps,
  batch: string,
  job: AssignedJob,
): Promise<ReadyJob> {
  try {
    return await prepare(deps, batch, job)
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException
    if (error instanceof JobRefusal || !gone.has(code ?? '')) throw error
    if (syscall !== undefined && !['connect', 'read', 'write'].includes(syscall)) throw error
    throw new JobRefusal('source-missing', `the Docker Engine does not answer: ${code}`)
  }
}

async function prepare(deps: PrepareDeps, batch: string, job: AssignedJob): Promise<ReadyJob> {
  const { rules } = deps
  const { parameters } = job
  if (rules.allow !== undefined && !rules.allow.includes(parameters.kind)) {
    throw new JobRefusal(
      'permission-denied',
      `the host's own file does not allow ${parameters.kind} jobs; add it to "allow" in host.yaml`,
    )
  }
  if (parameters.kind === 'browse' && parameters.what === 'file' && !rules.browseFiles) {
    throw new JobRefusal(
      'permission-denied',
      'the host\'s own file does not let file contents be read this way; set "browseFiles: true" in host.yaml, or restore the file',
    )
  }
  if (
    (parameters.kind === 'init' || parameters.kind === 'backup') &&
    rules.recovery === undefined
  ) {
    throw new JobRefusal(
      'no-recovery-recipient',
      'this host has no recovery recipient; set "recovery: age1…" in host.yaml and restart the agent',
    )
  }
  if (parameters.kind === 'backup') {
    requireCapabilities(READING, 'reading files of other owners')
    return prepareSource(deps, job.id, parameters.source)
  }
  if (parameters.kind === 'restore') {
    requireCapabilities(RESTORING, 'restoring owners, modes and devices')
    return prepareRestore(deps, batch, job.id, parameters)
  }
  if (parameters.kind === 'init' && parameters.adopt !== undefined) {
    return prepareAdoption(deps, job, parameters.adopt.sealedPassword)
  }
  return plain(job)
}

/** Opens the password of the repository that is to be taken over: only this host can. */
async function prepareAdoption(
  deps: PrepareDeps,
  job: AssignedJob,
  sealed: string,
): Promise<ReadyJob> {
  const ready = plain(job)
  try {
    const opened = await (await deps.hostKey()).open(sealed)
    const adoptPassword = Buffer.from(opened).toString('utf8')
    return { ...ready, prepared: { ...ready.prepared, adoptPassword } }
  } catch {
    throw new JobRefusal('wrong-password', 'the password was not sealed to this host')
  }
}
