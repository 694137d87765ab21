// `holdfast-agent run`: the parts, put together.
import { fileURLToPath } from 'node:url'
import { MINUTE, SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import type { AgentEvent } from '../../shared/protocol/calls.ts'
import { readConfig } from '../config/environment.ts'
import { readEnrolment, readHostRules } from '../config/files.ts'
import { createCalls } from '../control/calls.ts'
import { createConnection } from '../control/connection.ts'
import { createPlaneHttp } from '../control/http-client.ts'
import { loadIdentity, machineId } from '../control/identity.ts'
import type { Command } from '../control/line.ts'
import { openOutbox } from '../control/outbox.ts'
import { sendEvents } from '../control/send-events.ts'
import { createSession } from '../control/session.ts'
import { dockerAddress } from '../docker/address.ts'
import { connectEngine } from '../docker/engine.ts'
import { createWatcher } from '../docker/watcher.ts'
import { openJournal } from '../jobs/journal.ts'
import { loadOrMakeHostKey } from '../jobs/passwords.ts'
import { createReports } from '../jobs/reports.ts'
import { createSlots } from '../jobs/slots.ts'
import { createSupervisor } from '../jobs/supervisor.ts'
import { createPinoLog } from '../log/pino-log.ts'
import { describeError } from '../log/scrub.ts'
import { freeBytes, openStateDirectory } from '../state/directory.ts'
import { createReserve } from '../state/reserve.ts'
import { own } from '../state/sole-owner.ts'
import { giveBackMemory } from './give-back-memory.ts'
import { systemClock as clock, systemRandom as random } from './system-clock.ts'
import { version } from './version.ts'

type NoticeCode = Extract<AgentEvent, { kind: 'notice' }>['code']

/** The control plane counts a host as alive by this; three missed mean silent. */
const ALIVE_EVERY = 5 * MINUTE

/** By then everything is loaded and the first inventory is sent. */
const SETTLED = 5 * SECOND

/** Run until `signal` is aborted. Throws what a person must put right before it can run at all. */
export async function run(
  options: { state?: string; moverFile?: string },
  signal: AbortSignal,
): Promise<void> {
  const config = readConfig(process.env)
  const files = openStateDirectory(options.state ?? config.stateDirectory)
  const enrolment = readEnrolment(files.agent)
  if (enrolment === undefined) {
    throw new HoldfastError('not-found', `${files.directory} holds no enrolled host`, {
      hint: 'run: holdfast-agent enroll --url https://…',
    })
  }
  const rules = await readHostRules(files.host, enrolment.recovery)
  const identity = loadIdentity(files.identity)
  const address = dockerAddress(config.docker)
  const log = createPinoLog({ level: config.logLevel, fd: 2 })
  const { host, url: origin } = enrolment
  const boot = newId(clock, random)
  const { network } = config

  const reserve = createReserve(files.reserve)
  let describe: () => object = () => ({ starting: true })
  const ownership = await own(files.socket, () => describe())
  const { outbox, torn: tornEvents } = openOutbox({ path: files.outbox, reserve, boot, clock })
  const { journal, torn: tornJournal } = openJournal({ path: files.journal, reserve })
  if (tornEvents + tornJournal > 0) {
    log.warn('the last run ended in the middle of a record', { torn: tornEvents + tornJournal })
  }

  const http = createPlaneHttp({ origin, network, version })
  const session = createSession(clock)
  const calls = createCalls({ http, session, clock, random })
  const reports = createReports({ journal, plane: calls, clock, random, log })
  let recovered = Promise.resolve()

  const watcher = createWatcher({
    connect: () => connectEngine(address),
    directories: () => rules.directories,
    clock,
    log,
    onInventory: (inventory) => outbox.add({ kind: 'inventory', inventory }),
    onEngineLost: (why) => notice('docker-unreachable', why),
    onEngineBack: () => notice('docker-back', 'the Docker Engine answers again'),
    onEngine(engine) {
      recovered = recovered
        .then(() => supervisor.recoverContainers(engine))
        .catch((error) => {
          log.error('what a former run left could not be cleared up', {
            error: describeError(error),
          })
        })
    },
  })
  const supervisor = createSupervisor({
    host,
    rules,
    journal,
    hostKey: () => loadOrMakeHostKey(files.hostKey),
    clock,
    random,
    log,
    engine: () => watcher.engine,
    engineIsLocal: address.local,
    volumesRoot: config.volumesRoot,
    stateDirectory: files.directory,
    plane: calls,
    reports,
    slots: createSlots(),
    onStarted(names) {
      const containers = names.join(', ')
      log.warn('containers were started again', { containers })
      notice('containers-restarted', `started again after a restart: ${containers}`)
    },
    sign: (bytes) => identity.sign(bytes),
    moverFile: options.moverFile ?? fileURLToPath(new URL('../mover/main.ts', import.meta.url)),
    // Movers share the compiled modules: they start in half the time.
    environment: { ...process.env, NODE_COMPILE_CACHE: files.code },
    network,
    paths: files,
  })
  const connection = createConnection({
    self: { host, boot, machine: machineId(), version, origin, identity },
    network,
    http,
    session,
    clock,
    random,
    log,
    onCommand: obey,
    onWelcome() {
      alive()
      reports.nudge()
    },
  })

  describe = () => ({
    host,
    boot,
    version,
    ...connection.state,
    running: supervisor.running,
    unsent: { events: outbox.size, reports: journal.unsent.length },
  })

  function notice(code: NoticeCode, message: string): void {
    outbox.add({ kind: 'notice', code, message: message.slice(0, 1_000) })
  }

  let diskFull = false
  function alive(): void {
    const whole = reserve.refill()
    if (!whole && !diskFull) notice('state-disk-full', 'the disk of the state directory is full')
    diskFull = !whole
    outbox.add({ kind: 'alive', freeStateBytes: freeBytes(files.directory) })
  }

  function obey(command: Command): void {
    if (command.type === 'refresh') watcher.refresh()
    else if (command.type === 'cancel') supervisor.cancel(command.batch, command.jobs)
    else if (command.type === 'limits') supervisor.limit(command.batch, command.limits)
    // Batches wait for the first answer of the engine, and for what a former run left: its containers
    // run again before a volume is touched.
    else void watcher.looked.then(() => recovered).then(() => supervisor.accept(command))
  }

  async function stayAlive(): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(ALIVE_EVERY, signal).catch(() => {})
      if (!signal.aborted) alive()
    }
  }

  watcher.looked.then(() => clock.sleep(SETTLED, signal)).then(giveBackMemory, () => {}) // stopped before that: the end of the process gives it all back
  log.info('the agent runs', { host, boot, version, origin })
  await supervisor.recover()
  try {
    await Promise.all([
      connection.run(signal),
      watcher.run(signal),
      supervisor.run(signal),
      reports.run(signal),
      sendEvents({ outbox, calls, clock, random, log, signal }),
      stayAlive(),
    ])
  } finally {
    ownership.release()
    outbox.close()
    journal.end()
    log.info('the agent stopped', { host, boot })
  }
}
