import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSnapshotsStore } from '../../control-plane/adapters/libsql/store/snapshots.ts'
import { createRetention } from '../../control-plane/core/retention.ts'
import { DAY, HOUR } from '../../shared/clock.ts'
import { smallKey } from '../../shared/vault/layout.ts'
import { openRig, type Rig } from './rig.ts'

const START = Date.UTC(2026, 5, 15, 12)

let rig: Rig
let admin: string
let operator: string
beforeAll(async () => {
  rig = await openRig({ start: START })
  admin = await rig.token('admin')
  operator = await rig.token('operator')
})
afterAll(() => rig.close())

/** A host with one volume and a snapshot a day, in the catalogue and in the bucket; the newest first. */
async function daily(name: string, volume: string, count: number, labels = {}) {
  const host = await rig.host(name, [{ name: volume, labels }])
  const ids: string[] = []
  for (let n = 0; n < count; n++) {
    const id = await rig.snapshot(host, `volume:${volume}`, START - HOUR - n * DAY)
    await (await objects()).put(smallKey(host.repository, 'snapshot', id), new Uint8Array(40))
    ids.push(id)
  }
  return { host, ids }
}
const objects = async () => (await rig.vaults.open('local')).objects

async function policy(name: string, volumes: string[], retention?: object) {
  const document = {
    apiVersion: 'holdfast/v1',
    kind: 'Policy',
    name,
    select: { volumes },
    ...(retention === undefined ? {} : { retention }),
  }
  const put = await rig.call('PUT', `/api/v1/policies/${name}`, { token: admin, body: document })
  expect(put.status, put.text).toBeLessThan(300)
}

async function preview(query: string) {
  const answer = await rig.call('GET', `/api/v1/retention/preview?${query}`, { token: operator })
  expect(answer.status, answer.text).toBe(200)
  return answer.body as {
    items: {
      source: string
      label: string | null
      snapshots: { id: string; reasons: string[] }[]
    }[]
    next?: string
  }
}
const states = async (ids: readonly string[]) => {
  const { rows } = await rig.database.read('SELECT id, state FROM snapshots')
  const known = new Map(rows.map((row) => [row.id, row.state]))
  return ids.map((id) => known.get(id))
}

/** Retention whose process dies at its `at`th write or removal, in turns before and after it happened. */
function mortal(at: number) {
  let count = 0
  let dead = false
  async function pass<T>(act: () => Promise<T>): Promise<T> {
    const mine = count++
    if (dead || (mine === at && at % 2 === 0)) dead = true
    if (dead) throw new Error('the process died')
    const result = await act()
    if (mine !== at) return result
    dead = true
    throw new Error('the process died')
  }
  const { database } = rig
  const write: typeof database.write = (statements) => pass(() => database.write(statements))
  const retention = createRetention({
    clock: rig.clock,
    random: rig.random,
    snapshots: createSnapshotsStore({ ...database, write }),
    fleet: rig.stores.fleet,
    policies: rig.stores.policies,
    openVault: async (vault) => {
      const access = await rig.vaults.open(vault)
      const remove = (key: string) => pass(() => access.objects.remove(key))
      return { ...access, objects: { ...access.objects, remove } }
    },
  })
  return { retention, dead: () => dead }
}

describe('retention', () => {
  it('in a policy is checked: empty rules are refused with the field named', async () => {
    const document = {
      apiVersion: 'holdfast/v1',
      kind: 'Policy',
      name: 'empty',
      select: { volumes: ['x'] },
      retention: { minimum: 3 },
    }
    const put = await rig.call('PUT', '/api/v1/policies/empty', { token: admin, body: document })
    expect(put.status).toBe(422)
    expect(put.body.fields[0].path).toEqual(['retention'])
  })

  it('forgets what nothing keeps, in the bucket and in the catalogue, and shows it before', async () => {
    const { host, ids } = await daily('web-1', 'shop', 20)
    await policy('shop', ['shop'], { 'keep-last': 10 })
    const seen = (await preview('host=web-1')).items[0]!
    const doomed = seen.snapshots.filter(({ reasons }) => reasons.length === 0).map(({ id }) => id)
    expect(doomed).toEqual(ids.slice(10))
    expect(seen.snapshots[0]?.reasons).toContain('last snapshot')
    expect((await preview('policy=shop')).items).toHaveLength(1)
    await rig.retention.sweep()
    expect(await states(ids)).toEqual([
      ...Array(10).fill('present'),
      ...Array(10).fill('forgotten'),
    ])
    for (const [n, id] of ids.entries()) {
      const size = await (await objects()).head(smallKey(host.repository, 'snapshot', id))
      expect(size === undefined).toBe(n >= 10)
    }
    const listed = await rig.call('GET', '/api/v1/snapshots?host=web-1', { token: operator })
    expect(listed.body.items).toHaveLength(10)
    const all = await rig.call('GET', '/api/v1/snapshots?host=web-1&gone=true', { token: operator })
    expect(all.body.items).toHaveLength(20)
    const restore = await rig.call('POST', '/api/v1/jobs/browse', {
      token: admin,
      body: {
        snapshot: ids[15],
        what: 'list',
        recipient: 'age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg',
      },
    })
    expect([restore.status, restore.body.detail]).toEqual([404, expect.stringMatching(/forgotten/)])
    const audit = await rig.call('GET', '/api/v1/audit?action=snapshot.forgotten', { token: admin })
    expect(audit.body.items).toHaveLength(10)
  })

  it('leaves what came within the floor, whatever the rules say', async () => {
    const { ids } = await daily('web-2', 'young', 20)
    await policy('young', ['young'], { 'keep-last': 1 })
    await rig.retention.sweep()
    const left = (await states(ids)).filter((state) => state === 'present')
    expect(left).toHaveLength(7)
  })

  it('is the label of the volume where it has one', async () => {
    const { ids } = await daily('web-3', 'labelled', 20, { retention: '15days' })
    await policy('labelled', ['labelled'], { 'keep-last': 1, minimum: 2 })
    const [source] = (await preview('host=web-3')).items
    expect(source?.label).toBe('15d')
    await rig.retention.sweep()
    expect((await states(ids)).filter((state) => state === 'present')).toHaveLength(15)
  })

  it('is nothing where no policy speaks of it, or one covers the source that keeps everything', async () => {
    const { ids } = await daily('web-4', 'unspoken', 20, { retention: '10days' })
    const { ids: two } = await daily('web-5', 'both', 20)
    await policy('both-little', ['both'], { 'keep-last': 1 })
    await policy('both-all', ['both'])
    await rig.retention.sweep()
    expect(new Set(await states([...ids, ...two]))).toEqual(new Set(['present']))
  })

  it('lets go of a snapshot that is being restored only afterwards', async () => {
    const { host, ids } = await daily('web-6', 'busy', 12)
    const restore = await rig.call('POST', '/api/v1/jobs/restore', {
      token: admin,
      body: { snapshot: ids[11], target: { kind: 'new-volume', name: 'busy-again' } },
    })
    expect(restore.status, restore.text).toBe(202)
    await policy('busy', ['busy'], { 'keep-last': 8 })
    await rig.retention.sweep()
    expect((await states(ids)).slice(8)).toEqual(['forgotten', 'forgotten', 'forgotten', 'present'])
    await rig.call('POST', `/api/v1/jobs/${restore.body.id}/cancel`, { token: admin })
    await rig.database.write([
      { sql: 'UPDATE repositories SET judged_at = 0 WHERE id = ?', args: [host.repository] },
    ])
    await rig.retention.sweep()
    expect((await states(ids))[11]).toBe('forgotten')
  })

  it('goes on with a removal that broke off', async () => {
    const { host, ids } = await daily('web-7', 'broken', 12)
    await rig.database.write([
      { sql: `UPDATE snapshots SET state = 'forgetting' WHERE id = ?`, args: [ids[11]!] },
    ])
    await rig.retention.sweep()
    expect((await states(ids))[11]).toBe('forgotten')
    const key = smallKey(host.repository, 'snapshot', ids[11]!)
    expect(await (await objects()).head(key)).toBeUndefined()
  })

  it('goes on wherever it died: each snapshot is gone once, and the log says so once', async () => {
    await policy('mortal', ['mortal'], { 'keep-last': 8 })
    const { host, ids } = await daily('web-11', 'mortal', 12)
    let died = 0
    for (let at = 0; ; at++) {
      const { retention, dead } = mortal(at)
      await retention.sweep().catch(() => undefined)
      if (!dead()) break
      died++
    }
    expect(died).toBeGreaterThan(3)
    await rig.retention.sweep()
    expect((await states(ids)).slice(8)).toEqual(Array(4).fill('forgotten'))
    const log = await rig.call('GET', `/api/v1/audit?action=snapshot.forgotten&host=${host.id}`, {
      token: admin,
    })
    const targets = log.body.items.map((one: { event: { target: string } }) => one.event.target)
    expect(targets.sort()).toEqual(
      ids
        .slice(8)
        .map((id) => `snapshot:${id}`)
        .sort(),
    )
  })

  it('preview pages by source', async () => {
    const host = await rig.host('web-8', ['a', 'b', 'c'])
    for (const name of ['a', 'b', 'c']) await rig.snapshot(host, `volume:${name}`, START - DAY)
    const seen: string[] = []
    let cursor = ''
    for (let page = 0; page < 5; page++) {
      const { items, next } = await preview(`host=web-8&limit=1${cursor}`)
      seen.push(...items.map(({ source }) => source))
      if (next === undefined) break
      cursor = `&cursor=${next}`
    }
    expect(seen).toEqual(['volume:a', 'volume:b', 'volume:c'])
  })
})

describe('a hold', () => {
  it('keeps a snapshot until an admin ends it', async () => {
    const { host, ids } = await daily('web-9', 'held', 12)
    const held = ids[11]!
    const path = `/api/v1/snapshots/${held.slice(0, 16)}/hold`
    const add = await rig.call('POST', path, { token: operator, body: { why: 'case 12' } })
    expect(add.body).toEqual({ id: held })
    const shown = await rig.call('GET', `/api/v1/snapshots/${held}`, { token: operator })
    expect(shown.body.held).toMatchObject({ why: 'case 12' })
    await policy('held', ['held'], { 'keep-last': 8 })
    await rig.retention.sweep()
    expect((await states(ids))[11]).toBe('present')
    expect((await rig.call('DELETE', path, { token: operator })).status).toBe(403)
    expect((await rig.call('DELETE', path, { token: admin })).status).toBe(200)
    await rig.database.write([
      { sql: 'UPDATE repositories SET judged_at = 0 WHERE id = ?', args: [host.repository] },
    ])
    await rig.retention.sweep()
    expect((await states(ids))[11]).toBe('forgotten')
    const audit = await rig.call('GET', '/api/v1/audit?action=hold.*', { token: admin })
    expect(audit.body.items.map((one: { event: { action: string } }) => one.event.action)).toEqual([
      'hold.released',
      'hold.added',
    ])
  })
})

describe('a foreign snapshot', () => {
  it('is kept until a policy claims it', async () => {
    const { host, ids } = await daily('web-10', 'adopted', 12)
    await rig.database.write([
      {
        sql: 'UPDATE snapshots SET is_foreign = 1, job = NULL WHERE host = ?',
        args: [host.id],
      },
    ])
    await policy('adopted', ['adopted'], { 'keep-last': 8 })
    await rig.retention.sweep()
    expect(new Set(await states(ids))).toEqual(new Set(['present']))
    for (const id of ids) {
      const claim = await rig.call('POST', `/api/v1/snapshots/${id}/claim`, {
        token: admin,
        body: { policy: 'adopted' },
      })
      expect(claim.status, claim.text).toBe(200)
    }
    const twice = await rig.call('POST', `/api/v1/snapshots/${ids[0]}/claim`, {
      token: admin,
      body: { policy: 'adopted' },
    })
    expect(twice.status).toBe(409)
    await rig.database.write([
      { sql: 'UPDATE repositories SET judged_at = 0 WHERE id = ?', args: [host.repository] },
    ])
    await rig.retention.sweep()
    expect((await states(ids)).filter((state) => state === 'present')).toHaveLength(8)
  })
})

describe('the floor of a vault', () => {
  it('is set by an admin and noted in the log', async () => {
    const path = '/api/v1/vaults/local/retention-floor'
    const set = await rig.call('PUT', path, { token: admin, body: { days: 30 } })
    expect(set.body.retentionFloorDays).toBe(30)
    expect((await rig.call('PUT', path, { token: admin, body: { days: 0 } })).status).toBe(422)
    const audit = await rig.call('GET', '/api/v1/audit?action=vault.floor-set', { token: admin })
    expect(audit.body.items[0].event.details).toMatchObject({ days: 30, before: 7 })
  })
})
