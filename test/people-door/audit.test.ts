// The auditor's door: pages, filters, exports, over a log of ten thousand entries.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { recordTrace } from '../../control-plane/adapters/libsql/change.ts'
import { newEvent } from '../../control-plane/core/event.ts'
import { auditEvent, eventText } from '../../shared/audit/event.ts'
import { SECOND } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'
import { openRig, type Rig, type SeededHost } from './rig.ts'

const SEEDED = 10_000
let rig: Rig
let auditor: string
let web: SeededHost
let job: string
beforeAll(async () => {
  rig = await openRig()
  auditor = await rig.token('auditor')
  web = await rig.host('web-1', [])
  job = newId(rig.clock, rig.random)
  for (let begun = 0; begun < SEEDED; begun += 1_000) {
    const events = Array.from({ length: 1_000 }, (_, i) => {
      rig.clock.advance(SECOND)
      const n = begun + i
      return newEvent(rig, {
        actor: n % 3 === 0 ? 'system' : `host:${web.id}`,
        action: n % 10 === 0 ? 'job.finished' : n % 10 === 1 ? 'job.queued' : 'grant.issued',
        target: n === 5 ? '=cmd|calc' : `thing:"${n}"`,
        outcome: n % 100 === 0 ? 'failed' : 'ok',
        ...(n % 2 === 0 ? { host: web.id } : {}),
        ...(n === 77 ? { job } : {}),
        details: { n, note: 'line\nbreak, comma' },
      })
    })
    await recordTrace(rig.database, { events: events as [(typeof events)[number]] })
  }
}, 120_000)
afterAll(() => rig.close())

const read = (query: string) => rig.call('GET', `/api/v1/audit?${query}`, { token: auditor })
const lines = (text: string) => text.split('\n').filter((line) => line !== '')

describe('pages', () => {
  it('go through the whole log once, newest first, and end although reading adds to it', async () => {
    const seen: number[] = []
    let cursor = ''
    for (let pages = 0; pages < 100; pages++) {
      const { body } = await read(`limit=500${cursor}`)
      seen.push(...body.items.map(({ seq }: { seq: number }) => seq))
      if (body.next === undefined) break
      cursor = `&cursor=${body.next}`
    }
    expect(seen.length).toBeGreaterThanOrEqual(SEEDED)
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => seen.length - 1 - i))
  })

  it('filter by time, host, actor, action, outcome and job', async () => {
    const events = async (query: string) =>
      (await read(`limit=500&${query}`)).body.items.map(
        ({ event }: { event: { action: string } }) => event,
      )
    expect(await events(`job=${job}`)).toHaveLength(1)
    expect(
      (await events('action=job.*')).every(({ action }: { action: string }) =>
        action.startsWith('job.'),
      ),
    ).toBe(true)
    expect((await events('action=job.finished&outcome=failed')).length).toBe(100)
    const hosts = await events('host=web-1')
    expect(new Set(hosts.map(({ host }: { host: string }) => host))).toEqual(new Set([web.id]))
    expect(await events(`host=${web.id}`)).toEqual(hosts)
    const [newest, , third] = await events('action=grant.issued')
    const between = await events(`action=grant.issued&since=${third.at}&until=${newest.at}`)
    expect(between).toHaveLength(2)
    expect(await events('actor=token:nobody')).toEqual([])
  })

  it.each([
    ['outcome=good', /^outcome: Invalid option/],
    ['since=yesterday', /^since: must be a time such as/],
    ['job=7', /^job: must be a UUID/],
    ['cursor=-1', /^cursor: is not one this listing gave/],
    ['format=xml', /^format: Invalid option/],
  ])('refuse ?%s', async (query, detail) => {
    const answer = await read(query)
    expect(answer.status).toBe(422)
    expect(answer.body.detail).toMatch(detail)
  })
})

describe('exports', () => {
  it('as NDJSON hold every entry with its canonical bytes, oldest first, up to the moment of asking', async () => {
    const { text, headers } = await read('format=ndjson')
    expect(headers.get('content-type')).toBe('application/x-ndjson')
    expect(headers.get('content-disposition')).toBe('attachment; filename="holdfast-audit.ndjson"')
    const rows = lines(text).map((line) => JSON.parse(line) as { seq: number; entry: unknown })
    expect(rows.map(({ seq }) => seq)).toEqual(rows.map((_, i) => i))
    const stored = await rig.database.read('SELECT seq, entry FROM audit ORDER BY seq')
    for (const [i, line] of lines(text).entries()) {
      expect(line).toBe(`{"entry":${String(stored.rows[i]!.entry)},"seq":${i}}`)
    }
    const one = auditEvent.parse(rows[40]!.entry)
    expect(eventText(one)).toBe(stored.rows[40]!.entry)
  })

  it('as CSV quote every cell and disarm what a spreadsheet would run', async () => {
    const { text, headers } = await read('format=csv&action=grant.issued')
    expect(headers.get('content-type')).toContain('text/csv')
    const [head] = text.split('\r\n')
    expect(head).toBe('seq,at,actor,action,target,outcome,host,job,request,id,details')
    expect(text).toContain(`"'=cmd|calc"`)
    expect(text).toContain('"thing:""3"""')
    expect(text).not.toMatch(/(^|,)"[=+\-@]/m)
    expect(text.split('\r\n').length - 2).toBe(SEEDED * 0.8)
  })

  it('hold a few entries in memory at a time, and stop with their reader', async () => {
    const response = await rig.app.request(
      '/api/v1/audit?format=ndjson',
      { headers: { authorization: `Bearer ${auditor}` } },
      { address: '192.0.2.1' },
    )
    const reader = response.body!.getReader()
    const sizes: number[] = []
    for (let i = 0; i < 3; i++) sizes.push((await reader.read()).value!.length)
    for (const size of sizes) expect(size).toBeLessThan(250 * 1_000)
    await reader.cancel()
  })
})

describe('reading the log', () => {
  it('is itself in the log, with who read what', async () => {
    await read(`format=csv&action=job.*&host=web-1&since=2026-01-01T00:00:00Z`)
    const { body } = await read('limit=2')
    expect(body.items[1].event).toMatchObject({
      action: 'audit.read',
      actor: `token:${auditor.split('_')[2]}`,
      details: { format: 'csv', action: 'job.*', host: web.id, since: '2026-01-01T00:00:00.000Z' },
    })
    expect(body.items[0].event.details).toEqual({ format: 'page' })
  })

  it('cannot be undone: the database refuses to change or delete an entry', async () => {
    await expect(rig.database.write(['DELETE FROM audit WHERE seq = 3'])).rejects.toThrow(
      /append-only/,
    )
    await expect(
      rig.database.write([`UPDATE audit SET actor = 'x' WHERE seq = 3`]),
    ).rejects.toThrow(/append-only/)
  })
})
