// Our rules of keeping against `restic forget` on the same snapshots: sets as host groups of one repository.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { systemRandom } from '../../agent/repository/id.ts'
import { encodeSnapshot } from '../../agent/repository/snapshot.ts'
import { fromMilliseconds } from '../../agent/repository/time.ts'
import { sealUnpacked } from '../../agent/repository/unpacked.ts'
import { DAY, HOUR } from '../../shared/clock.ts'
import { type Dated, judge, type KeepRules } from '../../shared/policy/retention.ts'
import { createSeeded } from '../support/seeded.ts'
import { engineOn, makeOnDisk } from './engine-on-disk.ts'

const PASSWORD = 'forget'
const TAGS = ['a', 'b', 'c']

interface Group {
  readonly host: string
  readonly snapshots: readonly Dated[]
}

/** Times that fall on and beside the edges of hours, days, weeks, months and years; none twice in a set. */
function randomTimes(pick: (below: number) => number): number[] {
  const begin = Date.UTC(2008 + pick(12), pick(12), 1 + pick(28))
  const steps = [1_000, HOUR / 4, HOUR, 6 * HOUR, DAY, 7 * DAY, 31 * DAY]
  const step = steps[pick(steps.length)]!
  const times = new Set<number>()
  let at = begin
  for (let n = 1 + pick(25); n > 0; n--) {
    at += pick(4) === 0 ? 1 + pick(3 * step) : step
    // Often to the second of an edge, or a second before it.
    if (pick(5) === 0) at = Math.ceil(at / DAY) * DAY - (pick(2) === 0 ? 0 : 1_000)
    if (pick(9) === 0) at = endOfMonth(at)
    times.add(at)
    at = Math.max(at, begin)
  }
  return [...times]
}

function endOfMonth(at: number): number {
  const date = new Date(at)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0, 23, 30)
}

function randomRules(pick: (below: number) => number): KeepRules {
  const rules: Record<string, unknown> = {}
  const span = () => {
    const parts = [`${pick(3)}y`, `${pick(15)}m`, `${pick(40)}d`, `${pick(50)}h`]
    const chosen = parts.filter(() => pick(2) === 0).join('')
    return /[1-9]/.test(chosen) ? chosen : `${1 + pick(40)}d`
  }
  for (const part of ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly']) {
    if (pick(3) === 0) rules[`keep-${part}`] = 1 + pick(8)
  }
  for (const part of ['', '-hourly', '-daily', '-weekly', '-monthly', '-yearly']) {
    if (pick(5) === 0) rules[`keep-within${part}`] = span()
  }
  if (pick(6) === 0) rules['keep-tag'] = pick(2) === 0 ? [['a']] : [['a', 'b'], ['c']]
  if (Object.keys(rules).length === 0) rules['keep-last'] = 1 + pick(3)
  return rules as KeepRules
}

function optionsOf(rules: KeepRules): string[] {
  return Object.entries(rules).flatMap(([rule, value]) =>
    Array.isArray(value)
      ? value.flatMap((tags) => [`--${rule}`, (tags as string[]).join(',')])
      : [`--${rule}`, String(value)],
  )
}

interface ForgetGroup {
  readonly host: string
  readonly keep: readonly { id: string }[] | null
  readonly remove: readonly { id: string }[] | null
  readonly reasons: readonly { snapshot: { id?: string; time: string }; matches: string[] }[] | null
}

/** `sets` groups, each judged under `policies` random sets of rules. Fails with the seed in the message. */
export async function compareWithForget(
  seed: string,
  sets: number,
  policies: number,
): Promise<void> {
  const seeded = createSeeded(seed)
  const pick = (below: number) => seeded.between(0, below - 1)
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-forget-'))
  try {
    await makeOnDisk(directory, PASSWORD)
    const { store, repository } = await engineOn(directory, PASSWORD)
    const groups: Group[] = []
    for (let n = 0; n < sets; n++) {
      const host = `h${String(n).padStart(5, '0')}`
      const snapshots: Dated[] = []
      for (const time of randomTimes(pick)) {
        const tags = TAGS.filter(() => pick(4) === 0)
        const json = encodeSnapshot({
          time: fromMilliseconds(time),
          tree: '0'.repeat(64),
          paths: ['/volumes/data'],
          hostname: host,
          username: 'root',
          tags,
        })
        const sealed = sealUnpacked(repository.masterKey, json, systemRandom)
        await store.put(`snapshots/${sealed.id}`, sealed.id, sealed.bytes)
        snapshots.push({ id: sealed.id, time, tags })
      }
      groups.push({ host, snapshots })
    }
    for (let n = 0; n < policies; n++) {
      const rules = randomRules(pick)
      const judged = forget(directory, rules)
      expect(judged).toHaveLength(sets)
      for (const { host, snapshots } of groups) {
        const theirs = judged.find((group) => group.host === host)!
        const ours = judge(snapshots, rules, Date.now())
        const kept = ours.filter(({ reasons }) => reasons.length > 0)
        const context = `seed ${seed}, host ${host}, ${JSON.stringify(rules)}`
        expect(
          kept.map(({ snapshot }) => snapshot.id),
          context,
        ).toEqual((theirs.keep ?? []).map(({ id }) => id))
        expect(
          ours.filter(({ reasons }) => reasons.length === 0).map(({ snapshot }) => snapshot.id),
          context,
        ).toEqual((theirs.remove ?? []).map(({ id }) => id))
        expect(
          kept.map(({ reasons }) => reasons.filter((reason) => !reason.startsWith('has tags'))),
          context,
        ).toEqual(
          (theirs.reasons ?? []).map(({ matches }) =>
            matches.filter((match) => !match.startsWith('has tags')),
          ),
        )
      }
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function forget(directory: string, rules: KeepRules): ForgetGroup[] {
  const text = execFileSync(
    'restic',
    [
      '-r',
      directory,
      'forget',
      '--dry-run',
      '--json',
      '--group-by',
      'host',
      '--no-cache',
      ...optionsOf(rules),
    ],
    {
      env: { ...process.env, RESTIC_PASSWORD: PASSWORD, TZ: 'UTC' },
      maxBuffer: 2 ** 29,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  ).toString()
  return JSON.parse(text.split('\n')[0]!) as ForgetGroup[]
}
