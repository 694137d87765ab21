// Ceph's object gateway with the smallest cluster behind it: one monitor, one OSD that keeps objects in memory.
// It checks S3 signatures for real, which no S3 emulator on npm does.

import { spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { remember, sweep, type Traces } from './leftovers.ts'
import { findProgram, machineEnvironment } from './machine.ts'
import { ensurePrograms } from './packages.ts'
import { freePorts } from './ports.ts'
import { type Daemon, logTail, startDaemon, waitUntil } from './processes.ts'
import { createS3Access, type S3Access } from './s3-access.ts'

export interface RgwOptions {
  /** The most the OSD may hold, in bytes; memory is taken only as objects arrive. Default: 2 GiB. */
  readonly capacity?: number
  readonly say?: (sentence: string) => void
}

export interface Rgw extends S3Access {
  /** Kills the gateway's processes; everything stored in it is gone. */
  stop(): Promise<void>
}

/** Each step takes well under a second on an idle machine; the rest is for a loaded one. In seconds. */
const stepPatience = 90

/** Another program may take a port between our look and Ceph's bind. */
const attempts = 3

/** Starts a gateway with one S3 user on loopback, in about 1 s. Rejects with the reason where that is impossible. */
export async function startRgw(options: RgwOptions = {}): Promise<Rgw> {
  const { capacity = 2 * 1024 ** 3, say = () => {} } = options
  if (process.platform !== 'linux') throw new Error('Ceph needs Linux')
  const missing = await ensurePrograms(['ceph-mon', 'ceph-osd', 'radosgw'], say)
  if (missing !== undefined) throw new Error(missing)
  await sweep(say)
  for (let attempt = 1; ; attempt++) {
    try {
      return await startCluster(capacity)
    } catch (error) {
      if (attempt === attempts) throw error
      say(`Ceph did not start (${(error as Error).message.split('\n')[0]}), trying again`)
    }
  }
}

async function startCluster(capacity: number): Promise<Rgw> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-rgw-'))
  const traces: Traces = {
    what: 'the Ceph gateway',
    processes: [],
    // There is nothing to save, and an orderly end takes 6 to 15 s.
    patience: 0,
    marks: [folder],
    unmount: [],
    bridges: [],
    folders: [folder],
  }
  const remembered = remember(traces)
  const daemons: Daemon[] = []
  try {
    const [monitorPort, gatewayPort] = (await freePorts(2)) as [number, number]
    const cluster = randomUUID()
    const accessKeyId = `HOLDFAST${randomBytes(6).toString('hex').toUpperCase()}`
    const secretAccessKey = randomBytes(20).toString('hex')
    const configFile = join(folder, 'ceph.conf')
    for (const name of ['monitor', 'osd', 'run']) mkdirSync(join(folder, name))
    writeFileSync(configFile, ceph({ folder, cluster, monitorPort, gatewayPort, capacity }))

    const run = (name: string, ...words: string[]) =>
      runTool(name, ['--conf', configFile, ...words], stepPatience)
    const start = (name: string, ...words: string[]) => {
      const log = join(folder, `${name}.out`)
      const daemon = startDaemon(name, ['--conf', configFile, '-f', ...words], log)
      daemons.push(daemon)
      const processes = daemons.map(({ pid, started }) => ({ pid, started }))
      remembered.update({ ...traces, processes })
    }

    const map = join(folder, 'monmap')
    const address = `[v2:127.0.0.1:${monitorPort}]`
    await run('monmaptool', '--create', '--addv', 'a', address, '--fsid', cluster, map)
    await run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', map)
    start('ceph-mon', '-i', 'a')
    const osd = randomUUID()
    const patience = ['--connect-timeout', String(stepPatience)]
    await run('ceph', ...patience, 'osd', 'new', osd, '0')
    await run('ceph-osd', '--mkfs', '-i', '0', '--osd-uuid', osd)
    start('ceph-osd', '-i', '0')
    start('radosgw', '-n', 'client.gateway')
    const endpoint = `http://127.0.0.1:${gatewayPort}`
    const answers = () =>
      fetch(endpoint).then(
        async (response) => (await response.arrayBuffer()).byteLength > 0,
        () => false,
      )
    await waitUntil('the gateway answered', stepPatience, answers, daemons)
    const user = ['--uid=test', '--display-name=test', `--access-key=${accessKeyId}`]
    const secret = `--secret-key=${secretAccessKey}`
    await run('radosgw-admin', '-n', 'client.gateway', 'user', 'create', ...user, secret)

    const access = createS3Access({ endpoint, region: 'us-east-1', accessKeyId, secretAccessKey })
    return { ...access, stop: () => remembered.clear() }
  } catch (error) {
    const dead = daemons.find((daemon) => daemon.ended() !== undefined)
    const tail = dead === undefined ? '' : `\n${logTail(join(folder, `${dead.name}.out`))}`
    await remembered.clear()
    throw new Error(`${(error as Error).message}${tail}`)
  }
}

/** Runs one of Ceph's tools to its end; rejects with what it complained of. */
function runTool(name: string, words: string[], seconds: number): Promise<void> {
  const program = findProgram(name)
  if (program === undefined) return Promise.reject(new Error(`${name} is not installed`))
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, {
      env: machineEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: seconds * 1000,
      killSignal: 'SIGKILL',
    })
    let complaint = ''
    child.stderr.on('data', (chunk) => {
      complaint = (complaint + chunk).slice(-1_000)
    })
    child.on('error', reject)
    child.on('close', (code, signal) =>
      code === 0
        ? resolve()
        : reject(new Error(`${name} ended with ${signal ?? code}: ${complaint}`)),
    )
  })
}

/** Ceph's configuration; what differs from its defaults is here for speed, smallness, or to work at all. */
function ceph(settings: {
  folder: string
  cluster: string
  monitorPort: number
  gatewayPort: number
  capacity: number
}): string {
  const { folder, cluster, monitorPort, gatewayPort, capacity } = settings
  return `[global]
fsid = ${cluster}
mon initial members = a
mon host = [v2:127.0.0.1:${monitorPort}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
run dir = ${folder}/run
admin socket = ${folder}/run/$name.asok
log file =
log to stderr = true
mon cluster log file =

# Nobody else is on this loopback cluster. With authentication off, the gateway must be told not to insist on
# encrypting its talk with the monitor (Ceph 16: it gives up with error -13 otherwise).
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc

# One copy of everything, on one OSD.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
mon data avail crit = 1
mon data avail warn = 2

# The monitor gathers changes for 1 s before it agrees on them: eleven rounds make the start 11 s long.
paxos propose interval = 0.02
paxos min wait = 0.01

[mon]
mon data = ${folder}/monitor
[mon.a]
host = localhost

[osd]
osd data = ${folder}/osd
osd objectstore = memstore
memstore device bytes = ${capacity}
osd op num shards = 2
osd op num threads per shard = 1

[client.gateway]
rgw frontends = beast endpoint=127.0.0.1:${gatewayPort}
rgw thread pool size = 32
rgw run sync thread = false
rgw enable usage log = false
# Deleted objects give their memory back within seconds instead of hours.
rgw gc obj min wait = 1
rgw gc processor period = 5
`
}
