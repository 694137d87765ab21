// Where a restore writes: a volume made for it, a tree beside a live one, or an empty directory.
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import type { ParametersOf } from '../../shared/backup/job.ts'
import { HOUR } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { asStopped, startAgain, stopOrder, usersOfVolume } from '../docker/containers.ts'
import { createVolumeForRestore, labelsForRestore } from '../docker/create-volume.ts'
import type { Engine } from '../docker/engine.ts'
import { currentMounts, mountAt } from '../docker/mountinfo.ts'
import { needsMount } from '../docker/volume-path.ts'
import { isReallyWithin, isWithin } from './host-rules.ts'
import { JobRefusal } from './job-refusal.ts'
import type { PrepareDeps, ReadyJob } from './prepare.ts'
import { type OpenVolume, openVolume, requireEngine } from './prepare-source.ts'

type Restore = ParametersOf<'restore'>

/** Prepare the target. Rejects with `JobRefusal`, having started again what it stopped. */
export function prepareRestore(
  deps: PrepareDeps,
  batch: string,
  job: string,
  parameters: Restore,
): Promise<ReadyJob> {
  const { target } = parameters
  if (target.kind === 'new-volume') return intoNewVolume(deps, job, parameters, target.name)
  if (target.kind === 'in-place') return intoLiveVolume(deps, batch, job, target)
  return Promise.resolve(intoDirectory(deps, job, target.path))
}

function requireWritable(path: string): void {
  try {
    accessSync(path, constants.W_OK)
  } catch {
    throw new JobRefusal(
      'target-invalid',
      'the agent sees the volumes read-only, which disables restores; bind their folder rw,rslave',
    )
  }
}

/** Empty but for what ext4 puts at the root of a new file system. */
function isEmpty(path: string): boolean {
  return readdirSync(path).every((name) => name === 'lost+found')
}

/**
 * Driver options are taken over only under the old name: an option such as `device=/srv/data` names a
 * place, and a second volume over the same place would overwrite the first.
 */
async function definitionFor(deps: PrepareDeps, parameters: Restore, name: string) {
  const definition = parameters.volume
  const oldName = parameters.source.kind === 'volume' ? parameters.source.name : ''
  const labels = labelsForRestore(definition?.labels ?? {}, oldName, name)
  if (definition === undefined || name !== oldName) {
    return { name, driver: 'local', options: {}, labels }
  }
  let options: Record<string, string> = {}
  if (definition.sealedOptions !== undefined) {
    try {
      const key = await deps.hostKey()
      options = JSON.parse(Buffer.from(await key.open(definition.sealedOptions)).toString('utf8'))
    } catch {
      throw new JobRefusal(
        'target-invalid',
        "the volume's driver options are sealed to another host; restore under a new name or make the volume first",
      )
    }
  }
  refusePlaces(deps, options)
  return { name, driver: definition.driver, options, labels }
}

/**
 * An option that names a folder or device of this host is a target like any other. Anybody may seal options to
 * a host, so their being sealed says nothing of where they come from.
 */
function refusePlaces({ rules }: PrepareDeps, options: Record<string, string>): void {
  const places = Object.values(options).filter((value) => value.startsWith('/'))
  if (places.every((place) => isReallyWithin(normalize(place), rules.restoreDirectories))) return
  throw new JobRefusal(
    'permission-denied',
    'the volume\'s driver options name a place that the host\'s own file does not allow; add it to "restoreDirectories" in host.yaml, or restore under a new name',
  )
}

async function intoNewVolume(
  deps: PrepareDeps,
  job: string,
  parameters: Restore,
  name: string,
): Promise<ReadyJob> {
  const engine = requireEngine(deps)
  const target = `volume:${name}`
  const ours = deps.journal.wasMadeFor(job, target)
  const definition = await definitionFor(deps, parameters, name)
  if (!ours && (await engine.volume(name)) === undefined) {
    deps.journal.making(job, target)
    // If we die here there is no such volume yet, and a later attempt of this job may make it.
  } else if (!ours) {
    throw new JobRefusal('target-invalid', `there is a volume ${name} already`)
  }
  const made = await createVolumeForRestore(engine, { ...definition, ours: true })
  if (made === 'exists') throw new JobRefusal('target-invalid', `there is a volume ${name} already`)
  const opened = await openVolume(deps, name)
  try {
    requireWritable(opened.path)
    if (!ours && !isEmpty(opened.path)) {
      throw new JobRefusal(
        'target-invalid',
        'the new volume is not empty: its driver options lead to old files',
      )
    }
  } catch (error) {
    await opened.release()
    throw error
  }
  return readyVolume(job, opened)
}

function readyVolume(job: string, opened: OpenVolume): ReadyJob {
  return {
    prepared: { job, path: opened.path, idShift: opened.idShift },
    stillThere: () => opened.stillThere(),
    release: async () => {},
    settle: () => opened.release(),
  }
}

async function intoLiveVolume(
  deps: PrepareDeps,
  batch: string,
  job: string,
  target: Extract<Restore['target'], { kind: 'in-place' }>,
): Promise<ReadyJob> {
  if (!deps.rules.inPlace) {
    throw new JobRefusal(
      'permission-denied',
      'the host\'s own file does not allow restores over a volume that is there; set "inPlace: true" in host.yaml, or restore into a new volume',
    )
  }
  const engine = requireEngine(deps)
  const volume = await engine.volume(target.name)
  if (volume === undefined) {
    throw new JobRefusal('target-invalid', `there is no volume ${target.name} to restore into`)
  }
  if (needsMount(volume)) {
    throw new JobRefusal(
      'target-invalid',
      'a volume with driver options cannot be exchanged in place; restore into a new volume',
    )
  }
  const opened = await openVolume(deps, target.name)
  if (mountAt(currentMounts(), opened.path) !== undefined) {
    throw new JobRefusal(
      'target-invalid',
      'the folder of the volume is a mount of its own; restore into a new volume',
    )
  }
  requireWritable(dirname(opened.path))
  const restart = await stopUsers(deps, engine, batch, job, target.name, target.stopContainers)
  const beside = join(dirname(opened.path), `${basename(opened.path)}.holdfast-${job}`)
  const { ino } = statSync(opened.path, { bigint: true })
  // What an earlier attempt left is gone on with, so it is no longer waiting to be removed.
  for (const left of [beside, `${beside}.journal`]) {
    if (deps.journal.kept.some(({ path }) => path === left)) deps.journal.removed(left)
  }
  deps.journal.exchanging({
    job,
    beside,
    target: opened.path,
    inode: String(ino),
    keepHours: target.keepOldHours,
  })
  return {
    prepared: { job, path: beside, idShift: opened.idShift, exchangeWith: opened.path },
    stillThere: () => true,
    async mayExchange() {
      // A container that began meanwhile has the old tree mounted and would write into it until it is removed.
      const users = usersOfVolume(await engine.containers(), target.name)
      if (users.length === 0) return
      const names = users.map((user) => user.name).join(', ')
      const message = `containers began to use the volume during the restore: ${names}`
      throw new HoldfastError('in-use', message.slice(0, 900))
    },
    release: async () => {},
    async settle() {
      try {
        settleExchange(deps, job)
      } finally {
        // Whatever became of the old tree: what was stopped runs again, on a tree that is whole.
        await restart()
      }
    },
  }
}

/**
 * After the mover is gone: were the folders exchanged? Then what lies beside is the old tree: it gets
 * a name that no attempt resumes into, and is kept for the time that was asked for. If not, it is an
 * unfinished new tree, which the next attempt of the job goes on with.
 */
export function settleExchange(deps: Pick<PrepareDeps, 'journal' | 'clock'>, job: string): void {
  const { journal, clock } = deps
  const exchange = journal.exchanges.find((entry) => entry.job === job)
  if (exchange === undefined) return
  const { beside, target, inode, keepHours } = exchange
  const shows = statSync(target, { throwIfNoEntry: false, bigint: true })
  const left = lstatSync(beside, { throwIfNoEntry: false })
  const done = shows !== undefined && String(shows.ino) !== inode
  if (done) {
    // The name the mover gives it; where the mover died before that, we do.
    const old = `${beside}.old`
    journal.keep(old, clock.now() + keepHours * HOUR)
    // If we die here, settling again finds the same two folders and gives the same name.
    if (left !== undefined) renameSync(beside, old)
    rmSync(`${beside}.journal`, { force: true })
  } else if (left !== undefined) {
    journal.keep(beside, clock.now() + UNFINISHED_HOURS * HOUR)
    journal.keep(`${beside}.journal`, clock.now() + UNFINISHED_HOURS * HOUR)
  }
  journal.exchanged(job)
}

/** An unfinished tree waits this long for the next attempt of its job. */
const UNFINISHED_HOURS = 24

/** Stop who uses the volume, journalled first; resolves with the way back. */
async function stopUsers(
  deps: PrepareDeps,
  engine: Engine,
  batch: string,
  job: string,
  volume: string,
  allowed: boolean,
): Promise<() => Promise<void>> {
  const { journal } = deps
  const users = usersOfVolume(await engine.containers(), volume)
  const names = users.map((user) => user.name).join(', ')
  if (users.length > 0 && !allowed) {
    throw new JobRefusal(
      'source-in-use',
      `running containers use the volume: ${names}`.slice(0, 900),
    )
  }
  for (const user of users) {
    if (await engine.removesItself(user.id)) {
      throw new JobRefusal(
        'target-invalid',
        `container ${user.name} is removed by the engine when it stops (--rm), so it could not be started again`,
      )
    }
  }
  const order = stopOrder(users)
  const restart = () =>
    startStopped(deps, engine, (entry) => entry.job === job && entry.batch === batch)
  try {
    for (const user of order) {
      journal.stopping(batch, job, asStopped(user))
      // If we die here or later, the next start of the agent starts it again.
      await engine.stop(user.id)
    }
  } catch (error) {
    await restart()
    throw new JobRefusal(
      'source-in-use',
      `a container could not be stopped: ${String(error)}`.slice(0, 900),
    )
  }
  return async () => {
    await restart()
  }
}

/**
 * Start again what the journal says was stopped, the last one stopped first; `onStarted` hears the name of each that
 * runs again through us. One that does not start keeps no other from it; it stays in the journal, and its error is
 * thrown when all were tried. One that is up stays in the journal until `settled` says that no stop is under way.
 */
export async function startStopped(
  deps: Pick<PrepareDeps, 'journal'>,
  engine: Engine,
  which: (entry: { batch: string; job: string }) => boolean,
  options: { settled?: (container: string) => boolean; onStarted?: (name: string) => void } = {},
): Promise<void> {
  const { journal } = deps
  const { settled = () => true, onStarted = () => {} } = options
  const failures: unknown[] = []
  for (const { container } of journal.stopped.filter(which).toReversed()) {
    try {
      const isSettled = settled(container.id)
      const back = await startAgain(engine, container, isSettled)
      if (back === 'up' && !isSettled) continue
      journal.restarted(container.id)
      if (back === 'started') onStarted(container.name)
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

function intoDirectory(deps: PrepareDeps, job: string, path: string): ReadyJob {
  const { rules, journal, stateDirectory } = deps
  const target = `directory:${path}`
  const ours = journal.wasMadeFor(job, target)
  const parts = path.split('/').slice(1)
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new JobRefusal(
      'target-invalid',
      'the directory must be absolute, without empty or dotted parts',
    )
  }
  if (!isReallyWithin(path, rules.restoreDirectories)) {
    throw new JobRefusal(
      'permission-denied',
      'the host\'s own file does not allow this target; add it to "restoreDirectories" in host.yaml',
    )
  }
  if (isWithin(path, [stateDirectory]) || isWithin(stateDirectory, [path])) {
    throw new JobRefusal('target-invalid', "the agent's own state lies there")
  }
  const present = lstatSync(path, { throwIfNoEntry: false })
  if (present !== undefined && !present.isDirectory()) {
    throw new JobRefusal('target-invalid', 'the target is there and is no directory')
  }
  if (present !== undefined && !ours && !isEmpty(path)) {
    throw new JobRefusal('target-invalid', 'the target directory is not empty')
  }
  if (!ours) journal.making(job, target)
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return {
    prepared: { job, path, idShift: 0 },
    stillThere: () => true,
    release: async () => {},
    settle: async () => {},
  }
}
