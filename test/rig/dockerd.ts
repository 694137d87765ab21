// A Docker Engine of our own: private folders, private socket, no touch of the machine's firewall or networks.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Docker from 'dockerode'
import { remember, sweep, type Traces } from './leftovers.ts'
import { tryLock } from './locks.ts'
import { cacheDirectory } from './machine.ts'
import { ensurePrograms } from './packages.ts'
import { type Daemon, end, identify, logTail, startDaemon, waitUntil } from './processes.ts'

export interface DockerdOptions {
  /**
   * Where the engine keeps images and volumes. Default: a folder below `.cache/` that no other process uses right
   * now, so that images survive from run to run.
   */
  readonly dataRoot?: string
  /** Remove containers, volumes and networks at start and at stop (images stay). Default: true. */
  readonly tidy?: boolean
  readonly say?: (sentence: string) => void
}

export interface PrivateDockerd {
  readonly socketPath: string
  readonly dataRoot: string
  /** A client of this engine. */
  readonly docker: Docker
  /** Kills the daemon without warning (its containers' shims may live on), then starts it on the same folders. */
  crashAndRestart(): Promise<void>
  /** Ends the daemon and takes away its mounts, bridges, socket and scratch folder. */
  stop(): Promise<void>
}

/** Daemons that may run side by side on one machine; each has its own data folder and address range. */
const slots = 8

/** A daemon answers in 0.2–0.4 s, in 2.2 s after an unclean stop; the rest is for a loaded machine. In seconds. */
const startPatience = 60

/** dockerd gives containers up to 15 s on the way out, and the machine may be loaded. In seconds. */
const stopPatience = 25

/** A Unix socket's path holds 107 bytes, and containerd's lies 32 deeper than our folder. */
const longestFolder = 70

/** Starts a private dockerd. Rejects with the reason where that is impossible. Linux, as root. */
export async function startDockerd(options: DockerdOptions = {}): Promise<PrivateDockerd> {
  const { tidy = true, say = () => {} } = options
  if (process.platform !== 'linux') throw new Error('a private dockerd needs Linux')
  if (process.getuid?.() !== 0) throw new Error('a private dockerd needs root')
  const missing = await ensurePrograms(['dockerd', 'ip'], say)
  if (missing !== undefined) throw new Error(missing)
  await sweep(say)

  const claim = await claimDataRoot(options.dataRoot)
  const temporary = tmpdir().length < longestFolder - 24 ? tmpdir() : '/tmp'
  const scratch = mkdtempSync(join(temporary, 'holdfast-dockerd-'))
  const socketPath = join(scratch, 'docker.sock')
  const log = join(scratch, 'dockerd.log')
  const containerdPidFile = join(scratch, 'exec', 'containerd', 'containerd.pid')
  const docker = new Docker({ socketPath })
  const traces: Traces = {
    what: `dockerd of ${claim.dataRoot}`,
    processes: [],
    patience: stopPatience,
    marks: [scratch],
    unmount: [claim.dataRoot, scratch],
    bridges: claim.bridges,
    folders: [scratch],
  }
  const remembered = remember(traces)

  /** The machine's own /etc/docker/daemon.json must not reach us, hence an empty one. */
  const configFile = join(scratch, 'daemon.json')
  writeFileSync(configFile, '{}')

  const launch = async (more: string[]): Promise<Daemon> => {
    const words = [
      ['--config-file', configFile],
      ['--data-root', claim.dataRoot],
      ['--exec-root', join(scratch, 'exec')],
      ['--pidfile', join(scratch, 'pid')],
      ['--host', `unix://${socketPath}`],
      ['--group', 'root', '--log-level', 'warn'],
      // Rules and forwarding belong to the machine, or to another daemon on it.
      [
        '--bridge=none',
        '--iptables=false',
        '--ip6tables=false',
        '--ip-masq=false',
        '--ip-forward=false',
      ],
      ['--default-address-pool', `base=${claim.addresses},size=24`],
      more,
    ]
    const daemon = startDaemon('dockerd', words.flat(), log)
    remembered.update({ ...traces, processes: [{ pid: daemon.pid, started: daemon.started }] })
    const answers = () =>
      docker.ping().then(
        () => true,
        () => false,
      )
    try {
      await waitUntil('it answered', startPatience, answers, [daemon])
    } catch (error) {
      await end(daemon, 5)
      throw error
    }
    return daemon
  }

  let daemon: Daemon
  let driver: string[] = []
  try {
    daemon = await launch([]).catch((error: Error) => {
      // In some sandboxes the engine believes in overlay2 and then fails at it; vfs copies, and works anywhere.
      if (!/overlay|graphdriver|storage.driver/i.test(logTail(log, 30))) throw error
      say('overlay2 does not work here, using the vfs storage driver')
      driver = ['--storage-driver=vfs']
      return launch(driver)
    })
    if (tidy) await removeEverything(docker)
  } catch (error) {
    const tail = logTail(log)
    await remembered.clear()
    await claim.release()
    throw new Error(`dockerd does not run here: ${(error as Error).message}\n${tail}`)
  }

  let stopped: Promise<void> | undefined
  return {
    socketPath,
    dataRoot: claim.dataRoot,
    docker,
    async crashAndRestart() {
      await end(daemon, 0)
      // A new daemon would take the old one's dying containerd (or a zombie of that number) for a live one and wait
      // for it in vain: let it go, and take away the note that names it.
      const containerd = identify(Number(readFileSync(containerdPidFile, 'utf8')))
      if (containerd !== undefined) await end(containerd, 0)
      rmSync(containerdPidFile)
      daemon = await launch(driver)
    },
    stop() {
      stopped ??= (async () => {
        // A daemon that no longer answers is ended all the same; the next start on this folder tidies up.
        if (tidy) await removeEverything(docker).catch(() => undefined)
        await remembered.clear()
        await claim.release()
      })()
      return stopped
    },
  }
}

interface Claim {
  readonly dataRoot: string
  /** CIDR that this daemon's networks are cut from. */
  readonly addresses: string
  readonly bridges: readonly string[]
  release(): Promise<void>
}

/** A data folder that nobody else uses while we hold it: two daemons on one would destroy it. */
async function claimDataRoot(wanted: string | undefined): Promise<Claim> {
  for (let slot = 0; slot < slots; slot++) {
    const release = await tryLock(`dockerd slot ${slot}`)
    if (release === undefined) continue
    const dataRoot = wanted ?? join(cacheDirectory, 'dockerd', String(slot))
    const second = await tryLock(`dockerd ${dataRoot}`)
    if (second === undefined) {
      await release()
      throw new Error(`${dataRoot} is in use by another run`)
    }
    mkdirSync(dataRoot, { recursive: true })
    return {
      dataRoot,
      addresses: `10.213.${slot * 16}.0/20`,
      bridges: Array.from({ length: 16 }, (_, third) => `10.213.${slot * 16 + third}.`),
      async release() {
        await second()
        await release()
      },
    }
  }
  throw new Error(`${slots} private Docker daemons run on this machine already`)
}

/** Containers, then volumes and networks; images stay, they are the cache. */
async function removeEverything(docker: Docker): Promise<void> {
  const gone = (error: { statusCode?: number }) => {
    if (error.statusCode !== 404 && error.statusCode !== 409) throw error
  }
  for (const { Id } of await docker.listContainers({ all: true }))
    await docker.getContainer(Id).remove({ force: true, v: true }).catch(gone)
  for (const { Name } of (await docker.listVolumes()).Volumes ?? [])
    await docker.getVolume(Name).remove({ force: true }).catch(gone)
  for (const { Id, Name } of await docker.listNetworks())
    if (!['bridge', 'host', 'none'].includes(Name)) await docker.getNetwork(Id).remove().catch(gone)
}
