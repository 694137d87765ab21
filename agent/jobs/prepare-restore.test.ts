import { describe, expect, it } from 'vitest'
import type { ParametersOf } from '../../shared/backup/job.ts'
import type { HostRules } from './host-rules.ts'
import type { PrepareDeps } from './prepare.ts'
import { prepareRestore } from './prepare-restore.ts'

const BATCH = '01890000-0000-7000-8000-0000000000b1'
const JOB = '01890000-0000-7000-8000-0000000000a1'

/** An engine that has every volume already, so that nothing is ever made. */
const engine = { volume: async (name: string) => ({ name }) }

/** The refusal, in its words. `options` are what the sealed driver options open to. */
function refusal(parameters: object, rules: Partial<HostRules>, options: object = {}) {
  const open = async () => new TextEncoder().encode(JSON.stringify(options))
  // What a restore that goes on would need is left out.
  const deps = {
    rules: { restoreDirectories: [], inPlace: false, ...rules },
    engine: () => engine,
    hostKey: async () => ({ recipient: '', open }),
    journal: { wasMadeFor: () => false },
  } as unknown as PrepareDeps
  const restore = {
    kind: 'restore',
    snapshot: 'a'.repeat(64),
    source: { kind: 'volume', name: 'data' },
    paths: [],
    ...parameters,
  } as unknown as ParametersOf<'restore'>
  return prepareRestore(deps, BATCH, JOB, restore).then(
    () => undefined,
    (error: Error) => error.message,
  )
}

describe('driver options that came with a restore', () => {
  const same = {
    target: { kind: 'new-volume', name: 'data' },
    volume: { driver: 'local', labels: {}, sealedOptions: 'AAAA' },
  }
  const bind = (device: string) => ({ type: 'none', o: 'bind', device })
  const rules = { restoreDirectories: ['/srv/restores'] }

  it('lead to no place of the host that its own file does not allow', async () => {
    for (const device of ['/etc/cron.d', '/srv/restores/../../etc', '/dev/sdz9']) {
      expect(await refusal(same, rules, bind(device)), device).toContain(
        'driver options name a place',
      )
    }
  })

  it('are taken where the file allows the place, and where they name none', async () => {
    const there = 'there is a volume data already'
    expect(await refusal(same, rules, bind('/srv/restores/data'))).toBe(there)
    expect(
      await refusal(same, rules, { type: 'nfs', o: 'addr=192.0.2.1', device: ':/export' }),
    ).toBe(there)
    expect(await refusal(same, {}, bind('/srv/data'))).toContain('driver options name a place')
  })
})

describe('a restore over a volume that is there', () => {
  it('is refused unless the host allows it', async () => {
    const target = { kind: 'in-place', name: 'data', stopContainers: true, keepOldHours: 24 }
    expect(await refusal({ target }, {})).toContain('set "inPlace: true" in host.yaml')
  })
})
