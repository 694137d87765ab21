// Lists that people page through: jobs and snapshots.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRig, RECIPIENT, type Rig, type SeededHost } from './rig.ts'

let rig: Rig
let operator: string
let db: SeededHost
beforeAll(async () => {
  rig = await openRig()
  operator = await rig.token('operator')
  const web = await rig.host('web-1', ['data', 'logs'])
  db = await rig.host('db-1', ['data'])
  const snapshot = await rig.snapshot(web, 'volume:data', rig.clock.now())
  const document = {
    apiVersion: 'holdfast/v1',
    kind: 'Policy',
    name: 'gold',
    select: { volumes: ['data'], hosts: ['web-1'] },
  }
  await rig.call('PUT', '/api/v1/policies/gold', { token: operator, body: document })
  const post = (what: string, body: object) =>
    rig.call('POST', `/api/v1/jobs/${what}`, { token: operator, body })
  await post('backup', { policy: 'gold' })
  for (let i = 0; i < 4; i++) {
    rig.clock.advance(1_000)
    await post('backup', { host: 'web-1', sources: ['volume:data', 'volume:logs'] })
    await post('backup', { host: 'db-1', sources: ['volume:data'] })
  }
  await post('browse', { snapshot, what: 'list', recipient: RECIPIENT })
})
afterAll(() => rig.close())

describe('listings', () => {
  it('page through every job exactly once, newest first', async () => {
    const all = await rig.call('GET', '/api/v1/jobs?limit=500', { token: operator })
    const seen: string[] = []
    let cursor = ''
    do {
      const page = await rig.call('GET', `/api/v1/jobs?limit=3${cursor}`, { token: operator })
      seen.push(...page.body.items.map(({ id }: { id: string }) => id))
      cursor = page.body.next === undefined ? '' : `&cursor=${page.body.next}`
    } while (cursor !== '')
    expect(seen).toEqual(all.body.items.map(({ id }: { id: string }) => id))
    expect(seen.length).toBeGreaterThan(9)
    expect(new Set(seen).size).toBe(seen.length)
  })

  it('filter by host, kind, policy, state and time', async () => {
    const list = async (query: string) =>
      (await rig.call('GET', `/api/v1/jobs?${query}`, { token: operator })).body.items as {
        hostName: string
        kind: string
        policy: string | null
      }[]
    expect(new Set((await list('host=db-1')).map((job) => job.hostName))).toEqual(new Set(['db-1']))
    expect(new Set((await list('kind=browse')).map((job) => job.kind))).toEqual(new Set(['browse']))
    expect(await list('policy=gold')).toHaveLength(1)
    expect(await list('until=2020-01-01T00:00:00Z')).toEqual([])
    expect(await list('state=queued&source=volume:nothing')).toEqual([])
  })

  it.each([
    ['limit=0', 'limit: must be from 1 to 500'],
    ['limit=many', 'limit: must be a whole number'],
    ['since=yesterday', 'since: must be a time such as 2026-01-02T03:04:05Z'],
    ['host=nowhere', 'there is no host "nowhere"'],
    ['cursor=1', 'cursor: must be a UUID'],
  ])('refuse ?%s', async (query, detail) => {
    const answer = await rig.call('GET', `/api/v1/jobs?${query}`, { token: operator })
    expect(answer.body.detail).toBe(detail)
  })

  it('snapshots page by time, and are found by the beginning of their id', async () => {
    for (let i = 1; i <= 5; i++) await rig.snapshot(db, 'volume:data', rig.clock.now() - i * 1_000)
    const list = (query: string) =>
      rig.call('GET', `/api/v1/snapshots?${query}`, { token: operator })
    const all = (await list('host=db-1')).body.items as { id: string; time: string }[]
    expect(all).toHaveLength(5)
    expect(all.map(({ time }) => time)).toEqual(
      all
        .map(({ time }) => time)
        .sort()
        .reverse(),
    )
    const first = await list('host=db-1&limit=2')
    const second = await list(`host=db-1&limit=2&cursor=${first.body.next}`)
    expect([...first.body.items, ...second.body.items]).toEqual(all.slice(0, 4))
    const one = await rig.call('GET', `/api/v1/snapshots/${all[0]!.id.slice(0, 12)}`, {
      token: operator,
    })
    expect(one.body).toMatchObject({
      id: all[0]!.id,
      volume: { driver: 'local', labels: { tier: 'gold' } },
    })
    expect((await list('cursor=x')).body.detail).toBe('cursor: is not one this listing gave')
  })
})
