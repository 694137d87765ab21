// Installs from the machine's own package sources what a part needs, on Debian as root, after saying so.

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram, isDebianAsRoot, machineEnvironment } from './machine.ts'

/** Debian's package for each program the tests start. */
const packageOf = {
  dockerd: 'docker.io',
  ip: 'iproute2',
  restic: 'restic',
  getfattr: 'attr',
  setfacl: 'acl',
  'ceph-mon': 'ceph-mon',
  'ceph-osd': 'ceph-osd',
  radosgw: 'radosgw',
} as const

export type Program = keyof typeof packageOf
export const everyProgram = Object.keys(packageOf) as Program[]

/** Another apt may hold the lock on the machine: wait this long for it, in seconds. */
const lockSeconds = 300

let queue: Promise<unknown> = Promise.resolve()

/**
 * Makes sure that these programs are installed. Resolves to what is still missing and why, or to undefined.
 * Calls within one process run one after the other.
 */
export function ensurePrograms(
  programs: readonly Program[],
  say: (sentence: string) => void,
): Promise<string | undefined> {
  const turn = queue.then(() => ensure(programs, say))
  queue = turn.catch(() => undefined)
  return turn
}

async function ensure(
  programs: readonly Program[],
  say: (sentence: string) => void,
): Promise<string | undefined> {
  const missing = () => programs.filter((name) => findProgram(name) === undefined)
  if (missing().length === 0) return undefined
  if (!isDebianAsRoot()) return `${missing().join(', ')} not installed`
  const packages = missing().map((name) => packageOf[name])
  say(`installing with apt: ${packages.join(' ')}`)
  const install = () =>
    apt(['install', '--yes', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', ...packages])
  // Package lists may be there and fresh; fetching them again costs seconds, so try without first.
  let failure = await install()
  for (let attempt = 1; failure !== undefined && attempt <= 2; attempt++) {
    say(`that failed, fetching the package lists and trying again (${attempt} of 2)`)
    await apt(['update'])
    failure = await install()
    if (failure !== undefined) await sleep(5_000)
  }
  if (missing().length === 0) return undefined
  return `apt could not install ${packages.join(' ')}: ${failure ?? 'the programs are not in them'}`
}

/** Runs apt-get without questions; resolves to the end of what it printed when it failed. */
function apt(words: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn('apt-get', ['-q', '-o', `DPkg::Lock::Timeout=${lockSeconds}`, ...words], {
      env: { ...machineEnvironment(), DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let heard = ''
    const listen = (chunk: Buffer) => {
      heard = (heard + chunk).slice(-4_000)
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code) => {
      if (code === 0) return resolve(undefined)
      const complaints = heard.split('\n').filter((line) => /^E:|error/i.test(line))
      resolve(complaints.slice(-4).join(' ') || `apt-get ${words[0]} ended with ${code}`)
    })
  })
}
