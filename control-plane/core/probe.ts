// Tries on a real vault what the holder of a grant could try, and writes down what the store did.
// What a store's documentation leaves open, this answers; the verdicts decide what grants sign.
import { equalBytes } from '../../shared/bytes.ts'
import { MINUTE } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'
import type { ProbeFinding, VaultCapabilities } from '../../shared/vault/vault.ts'
import type { SendExactly } from '../ports/exact-request.ts'
import type { VaultSubject } from '../ports/vault-subject.ts'
import type { Basics } from './deps.ts'
import { createProbeBench, type ProbeBench } from './probe-bench.ts'
import { checkUnsignedHeaders } from './probe-headers.ts'
import { checkPins } from './probe-pins.ts'

/** Below this difference of clocks, in ms, nothing needs doing; above the second (`refuseSkew`), none is signed. */
export const CLOCK_SKEW_WARNING = 2 * MINUTE
const CLOCK_SKEW_REFUSAL = 15 * MINUTE

export interface ProbeDeps extends Basics {
  readonly send: SendExactly
  /** MD5 as lower-case hex: a transfer check of S3, in no Web standard. */
  md5Hex(bytes: Uint8Array): string
}

export interface ProbeResult {
  readonly capabilities: VaultCapabilities
  readonly findings: ProbeFinding[]
}

export const UNKNOWN: VaultCapabilities = {
  enforcesSha256: null,
  enforcesLength: null,
  enforcesMd5: null,
  ifNoneMatch: null,
  refusesUnsignedHeaders: null,
  refusesSmuggledCopy: null,
  stockResticWrites: null,
  bindsMethodAndKey: null,
  versioning: null,
  objectLock: null,
  clockSkewMs: null,
}

/** Our clock minus the store's, in ms. The store tells whole seconds, so half a second is its middle. */
export async function measureSkew(
  deps: Pick<Basics, 'clock'>,
  objects: Pick<VaultSubject['objects'], 'time'>,
): Promise<number> {
  const before = deps.clock.now()
  const theirs = await objects.time()
  const after = deps.clock.now()
  // A clock that is told to the millisecond (our own disk's) has no half second to add.
  const middle = theirs % 1_000 === 0 ? theirs + 500 : theirs
  const skew = Math.round((before + after) / 2 - middle)
  // Within the store's own second and the way there and back, clocks agree.
  return Math.abs(skew) <= 500 + (after - before) / 2 ? 0 : skew
}

/**
 * Runs all checks under a prefix of its own and removes what it made. Rejects only when the vault cannot
 * be reached or written at all; everything else is a finding.
 */
export async function probeVault(deps: ProbeDeps, subject: VaultSubject): Promise<ProbeResult> {
  const bench = createProbeBench(deps, subject, newId(deps.clock, deps.random))
  const found: Partial<VaultCapabilities> = {}
  try {
    found.clockSkewMs = await checkClock(deps, bench)
    await checkOwnCalls(bench)
    checkTransport(bench, (await bench.read('transport')).url)
    Object.assign(found, await checkPins(deps, bench))
    // Where a right PUT is refused there is nothing to attack.
    if (bench.pins !== undefined) {
      Object.assign(found, await checkUnsignedHeaders(deps, bench))
      await checkPrivacy(bench)
      await checkRange(bench)
      found.stockResticWrites = await checkStockRestic(bench)
    }
    Object.assign(found, await checkBucket(bench))
  } finally {
    const { left } = await subject.purge(bench.prefix)
    if (left > 0) {
      bench.note('cleanup', `${left} objects of this probe could not be removed`, {
        remedy:
          'they are locked, or the access key may not delete; a lifecycle rule can remove them',
      })
    }
  }
  return { capabilities: { ...UNKNOWN, ...found }, findings: bench.findings }
}

async function checkClock(deps: ProbeDeps, bench: ProbeBench): Promise<number> {
  const skew = await measureSkew(deps, bench.subject.objects)
  const seconds = Math.round(skew / 1_000)
  const remedy = { remedy: 'set the clock of the control plane, for example with chrony' }
  if (Math.abs(skew) > CLOCK_SKEW_REFUSAL) {
    bench.danger(
      'clock',
      `our clock differs from the store's by ${seconds} s: no URL is signed`,
      remedy,
    )
  } else if (Math.abs(skew) > CLOCK_SKEW_WARNING) {
    bench.warning(
      'clock',
      `our clock differs from the store's by ${seconds} s; corrected for`,
      remedy,
    )
  } else {
    bench.ok('clock', `our clock and the store's agree within ${Math.max(1, Math.abs(seconds))} s`)
  }
  return skew
}

/** What the control plane does with its own credentials. Rejects with the store's refusal. */
async function checkOwnCalls(bench: ProbeBench): Promise<void> {
  const { objects } = bench.subject
  const { key, bytes } = await bench.object('own', 100)
  await objects.put(key, bytes)
  const back = await objects.get(key, 1_000)
  const listed = await objects.list(bench.prefix, { limit: 10 })
  await objects.remove(key)
  const whole =
    back !== undefined &&
    equalBytes(back, bytes) &&
    listed.objects.some((object) => object.key === key && object.bytes === bytes.length) &&
    (await objects.head(key)) === undefined
  if (whole) bench.ok('own-access', 'the control plane can write, read, list and delete')
  else
    bench.danger('own-access', 'what was written could not be read, listed and deleted as it was')
}

function checkTransport(bench: ProbeBench, url: string): void {
  const { protocol, hostname } = new URL(url)
  const saw = 'the vault is reached without TLS'
  if (protocol === 'https:') {
    bench.ok('transport', 'the vault is reached over TLS')
  } else if (/^(?:127\.|localhost$|\[::1\]$)/.test(hostname)) {
    bench.note('transport', `${saw}, on this machine`)
  } else {
    bench.warning('transport', `${saw}: whoever sees a URL can use it until it expires`, {
      remedy: 'use an https endpoint',
    })
  }
}

async function checkPrivacy(bench: ProbeBench): Promise<void> {
  const object = await bench.stored('private')
  if (object === undefined) return
  const { url } = await bench.read('private')
  const bare = url.replace(/\?.*$/, '')
  const answer = await bench.send({ method: 'GET', url: bare, headers: [] })
  if (answer.status >= 200 && answer.status < 300) {
    bench.danger('privacy', 'anyone may read objects of this bucket without a signature', {
      remedy: 'remove the bucket policy or listing right that makes it public',
    })
  } else bench.ok('privacy', `without a signature nothing is read (${answer.status})`)
}

async function checkRange(bench: ProbeBench): Promise<void> {
  const object = await bench.stored('range')
  if (object === undefined) return
  const { url } = await bench.read('range')
  const answer = await bench.send({ method: 'GET', url, headers: [['Range', 'bytes=10-19']] })
  if (answer.status === 206 && equalBytes(answer.body, object.bytes.subarray(10, 20))) {
    bench.ok('range', 'parts of objects can be read')
    return
  }
  bench.danger(
    'range',
    `a read of ten bytes answered ${answer.status} with ${answer.body.length}`,
    {
      remedy: 'restores read parts of packs: use a store that serves ranges',
    },
  )
}

/**
 * Does the store refuse a header that stock restic sends unsigned? Patched Ceph (20.2.4, 2026) does, and
 * then restic can read with --no-lock but not write over s3:.
 */
async function checkStockRestic(bench: ProbeBench): Promise<boolean | null> {
  // A folder of this machine is written by restic's local backend, not over HTTP.
  if (bench.subject.copySource('') === undefined) return true
  const object = await bench.object('content-type', 200)
  const answer = await bench.put(object, { extra: [['Content-Type', 'application/octet-stream']] })
  if (answer.status >= 200 && answer.status < 300) return true
  bench.note('stock-restic', `an unsigned Content-Type was refused (${answer.status})`, {
    remedy:
      'stock restic reads here with --no-lock; to write, let it go through rclone or a local copy',
  })
  return false
}

async function checkBucket(
  bench: ProbeBench,
): Promise<Pick<VaultCapabilities, 'versioning' | 'objectLock'>> {
  const state = await bench.subject.bucketState()
  const words = (value: boolean | null) => (value === null ? 'not told' : value ? 'on' : 'off')
  bench.note(
    'bucket',
    `versioning is ${words(state.versioning)}, Object Lock is ${words(state.objectLock)}`,
  )
  return state
}
