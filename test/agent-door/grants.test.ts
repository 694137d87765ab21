import { describe, expect, it } from 'vitest'
import { MINUTE } from '../../shared/clock.ts'
import { MAX_OUTSTANDING_BYTES } from '../../shared/protocol/calls.ts'
import { indexKey, packKey } from '../../shared/vault/layout.ts'
import { attemptOf, sha256, thingsOf, wantedOf } from './agent.ts'
import { useRig } from './rig.ts'

const rig = useRig()
const md5 = '0'.repeat(32)
const pack = (n: number, bytes = 1_000) => ({
  method: 'PUT',
  what: 'pack',
  id: sha256(`pack ${n}`),
  bytes,
  md5,
  type: 'data',
})
const packs = (from: number, count: number, bytes?: number) =>
  Array.from({ length: count }, (_, n) => pack(from + n, bytes))
const get = (what: 'pack' | 'index', id: string) => ({ method: 'GET', what, id })

const restore = {
  kind: 'restore',
  snapshot: 'a'.repeat(64),
  source: { kind: 'volume', name: 'data' },
  target: { kind: 'new-volume', name: 'copy' },
  paths: [],
}

describe('grants of a backup', () => {
  it('bind method, key and bytes, and leave one event with counts and no names', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const index = { ...pack(1), what: 'index', bytes: 33, type: undefined }
    const wanted = [pack(0), index, get('index', 'a'.repeat(64))]
    const { body } = await agent.ask(run, 'grants', { wanted, stored: [] }, job)
    expect(
      body.grants.map(({ method, id, seconds }: Record<string, unknown>) => [method, id, seconds]),
    ).toEqual([
      ['PUT', pack(0).id, 900],
      ['PUT', pack(1).id, 900],
      ['GET', 'a'.repeat(64), 900],
    ])
    const keys = body.grants.map(({ url }: { url: string }) => new URL(url).pathname.slice(1))
    expect(keys).toEqual([
      packKey(agent.repository, pack(0).id),
      indexKey(agent.repository, pack(1).id),
      indexKey(agent.repository, 'a'.repeat(64)),
    ])
    const { rows } = await rig.door.database.read(
      "SELECT entry FROM audit WHERE action = 'grant.issued'",
    )
    expect(rows.map(({ entry }) => JSON.parse(String(entry)).details)).toEqual([
      { put: 2, get: 1, bytes: 1_033 },
    ])
    expect(
      JSON.stringify((await rig.door.database.read('SELECT * FROM grants')).rows),
    ).not.toContain('strict://')
  })

  it('are refused below the least size, for nothing at all, and as a whole', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const ask = (wanted: object[]) => agent.ask(run, 'grants', { wanted, stored: [] }, job)
    const tiny = await ask([pack(0), pack(1, 72)])
    expect(tiny).toMatchObject({
      status: 422,
      body: { detail: 'bytes: 72 is less than the 73 bytes of the smallest pack there is' },
    })
    const empty = await ask([{ ...pack(0), id: sha256('') }])
    expect(empty.body.code).toBe('invalid')
    expect((await ask([pack(0, 2 ** 32)])).body.detail).toMatch(/^wanted\.0\.bytes: /)
    expect((await ask(packs(0, 33))).body.detail).toMatch(/^wanted: /)
    expect((await ask([{ ...pack(0), id: '../../x' }])).body.detail).toMatch(/^wanted\.0\.id: /)
    expect((await ask([{ ...pack(0), key: 'repositories/x' }])).status).toBe(422)
    expect(await rig.row('SELECT COUNT(*) AS n FROM grants')).toMatchObject({ n: 0 })
    expect(rig.objects.calls.signPut).toBeUndefined()
  })

  it('are 64 at a time; what is stored, or over, makes room', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const ask = (wanted: object[], stored: string[] = []) =>
      agent.ask(run, 'grants', { wanted, stored }, job)
    expect((await ask(packs(0, 32))).status).toBe(200)
    expect((await ask(packs(32, 32))).status).toBe(200)
    const full = await ask([pack(64)])
    expect(full).toMatchObject({
      status: 429,
      body: { code: 'too-many', hint: 'finish uploads and name them in "stored" first' },
    })
    expect((await ask(packs(0, 32))).status).toBe(200) // the same objects again take no more room
    expect((await ask([pack(64)], [pack(3).id])).status).toBe(200)
    expect(await rig.row('SELECT what, type, bytes, checked_at FROM objects')).toMatchObject({
      what: 'pack',
      type: 'data',
      bytes: 1_000,
      checked_at: null,
    })
    expect((await ask([pack(65)])).status).toBe(429)
    rig.clock.skip(9 * MINUTE)
    await agent.lease(run)
    await agent.renew()
    rig.clock.skip(8 * MINUTE)
    expect((await ask(packs(70, 32))).status).toBe(200)
  })

  it('are 1 GiB at a time, or one larger object alone', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const ask = (wanted: object[], stored: string[] = []) =>
      agent.ask(run, 'grants', { wanted, stored }, job).then(({ status }) => status)
    expect(await ask([pack(0, MAX_OUTSTANDING_BYTES + 1)])).toBe(200)
    expect(await ask([pack(1)])).toBe(429)
    expect(await ask([pack(1)], [pack(0).id])).toBe(200)
    expect(await ask([pack(2, MAX_OUTSTANDING_BYTES + 1)])).toBe(429)
    expect(await ask([pack(2, MAX_OUTSTANDING_BYTES - 1_000)])).toBe(200)
    expect(await ask([pack(3)])).toBe(429)
  })

  it('count an object with the largest size it was signed for, however it is asked for again', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const ask = (wanted: object[], stored: string[] = []) =>
      agent.ask(run, 'grants', { wanted, stored }, job)
    const most = MAX_OUTSTANDING_BYTES
    const twice = await ask([pack(0, most), pack(0)])
    expect(twice.body.detail).toBe('wanted: the same object twice')
    const index = { ...pack(0, most), what: 'index', type: undefined }
    expect((await ask([index, pack(0)])).status).toBe(422)
    expect(rig.objects.calls.signPut).toBeUndefined()
    expect((await ask([pack(0, most)])).status).toBe(200)
    expect((await ask([pack(0)])).status).toBe(200)
    expect((await ask([pack(1)])).status).toBe(429)
    expect((await ask([pack(1)], [pack(0).id])).status).toBe(200)
  })

  it('are counted once when many requests race over two control planes', async () => {
    const agent = await rig.readyAgent()
    const second = await rig.openSecond()
    const { run, job } = await rig.started(agent)
    const urls = [rig.door.url, second.url]
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        fetch(`${urls[n % 2]}/agent/v1/batches/${run.batch}/grants`, {
          method: 'POST',
          headers: { authorization: `Bearer ${agent.session}` },
          body: JSON.stringify({ ...attemptOf(job), wanted: packs(n * 4, 4), stored: [] }),
        }).then(({ status }) => status),
      ),
    )
    expect(answers.filter((status) => status === 200)).toHaveLength(16)
    expect(await rig.row('SELECT COUNT(*) AS n FROM grants')).toMatchObject({ n: 64 })
  })

  it('let it read back index files and known tree packs, nothing else, and say so in the log', async () => {
    const agent = await rig.readyAgent()
    const first = await rig.started(agent)
    const tree = { ...pack(1), type: 'tree' }
    const ask = (started: typeof first, wanted: object[], stored: string[] = []) =>
      agent.ask(started.run, 'grants', { wanted, stored }, started.job)
    await ask(first, [pack(0), tree])
    await ask(first, [get('index', 'a'.repeat(64))], [pack(0).id, tree.id])
    await agent.finish(first.run, first.job, 'failed', 'internal-error')
    const second = await rig.started(agent)
    expect((await ask(second, [get('pack', tree.id)])).status).toBe(200)
    expect((await rig.actions()).at(-1)).toBe('grant.cache-rebuild ok')
    for (const id of [pack(0).id, 'c'.repeat(64)]) {
      expect((await ask(second, [get('pack', id)])).body).toMatchObject({
        code: 'forbidden',
        detail: 'a job of kind backup gets no grant to read packs that are not known tree packs',
      })
    }
    // Saying later that it is a tree pack does not make it one.
    await ask(second, [{ ...pack(0), type: 'tree' }])
    await ask(second, [get('index', 'a'.repeat(64))], [pack(0).id])
    expect((await ask(second, [get('pack', pack(0).id)])).status).toBe(403)
  })
})

describe('grants of other jobs', () => {
  it('read packs and index files, as many as needed, and never write', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent, { kind: 'restore', parameters: restore })
    const wanted = Array.from({ length: 32 }, (_, n) =>
      get(n % 2 ? 'pack' : 'index', sha256(`${n}`)),
    )
    for (let n = 0; n < 5; n++) {
      const answer = await agent.ask(run, 'grants', { wanted, stored: [] }, job)
      expect(answer.body.grants).toHaveLength(32)
    }
    const put = await agent.ask(run, 'grants', { wanted: [pack(0)], stored: [] }, job)
    expect(put.body).toMatchObject({
      code: 'forbidden',
      detail: 'a job of kind restore gets no grant to write',
    })
  })

  it('are refused to an attempt that ended, and while clocks are too far apart', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const wanted = wantedOf(thingsOf(job))
    const second = await rig.openSecond({ clockSkewMs: -16 * MINUTE })
    const url = agent.url
    agent.url = second.url
    const skewed = await agent.ask(run, 'grants', { wanted, stored: [] }, job)
    expect(skewed).toMatchObject({
      status: 503,
      body: {
        code: 'clock-skew',
        detail: "the control plane's clock is 16 minutes behind the store's",
        hint: 'set the clock of the control plane (NTP), then run: holdfast vault probe',
      },
    })
    agent.url = url
    const wrong = { ...job, fence: job.fence + 1 }
    expect((await agent.ask(run, 'grants', { wanted, stored: [] }, wrong)).body.code).toBe(
      'fence-stale',
    )
    await agent.finish(run, job, 'failed', 'internal-error')
    const ended = await agent.ask(run, 'grants', { wanted, stored: [] }, job)
    expect(ended).toMatchObject({ status: 409, body: { code: 'fence-stale' } })
  })
})
