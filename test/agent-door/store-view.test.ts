import { describe, expect, it } from 'vitest'
import { MINUTE } from '../../shared/clock.ts'
import { configKey, escrowKey, indexKey, packKey, smallKey } from '../../shared/vault/layout.ts'
import { Agent, base64, initialBody, keyFile, queueJob, sha256 } from './agent.ts'
import { useRig } from './rig.ts'

const rig = useRig()
const bytesOf = (text: string) => Buffer.from(text.padEnd(100, '.'))

describe('what a mover sees of its repository', () => {
  it('is the bucket itself, page by page, in the epoch the listing began in', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const ids = Array.from({ length: 1_500 }, (_, n) => sha256(`index ${n}`)).sort()
    for (const id of ids) rig.objects.contents.set(indexKey(agent.repository, id), bytesOf(id))
    rig.objects.contents.set(indexKey(agent.repository, 'README'), bytesOf('not ours'))
    const first = await agent.ask(run, 'listing', { what: 'index' }, job)
    expect(first.body.objects).toHaveLength(999) // and one name that is no id
    await rig.door.database.write(['UPDATE repositories SET epoch = 7'])
    const second = await agent.ask(run, 'listing', { what: 'index', cursor: first.body.next }, job)
    const listed = [...first.body.objects, ...second.body.objects].map(({ id }) => id)
    expect(listed).toEqual(ids)
    expect([first.body.epoch, second.body.epoch, second.body.next]).toEqual([0, 0, undefined])
    expect((await agent.ask(run, 'listing', { what: 'index' }, job)).body.epoch).toBe(7)
    const bad = await agent.ask(run, 'listing', { what: 'index', cursor: 'nonsense' }, job)
    expect(bad.body.detail).toBe('cursor: is not one of ours')
    const keys = await agent.ask(run, 'listing', { what: 'keys' }, job)
    expect(keys.body.objects).toHaveLength(2)
  })

  it('says of each object whether it is stored, absent, or another, and alarms in the last case', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const [there, other, absent] = ['there', 'other', 'absent'].map((name) => sha256(name))
    rig.objects.contents.set(packKey(agent.repository, there!), bytesOf('there'))
    rig.objects.contents.set(indexKey(agent.repository, other!), bytesOf('other'))
    const objects = [
      { what: 'pack', id: there, bytes: 100 },
      { what: 'index', id: other, bytes: 99 },
      { what: 'pack', id: absent, bytes: 100 },
    ]
    const { body } = await agent.ask(run, 'stored', { objects }, job)
    expect(body.objects.map(({ state }: { state: string }) => state)).toEqual([
      'stored',
      'exists',
      'absent',
    ])
    expect(await rig.alerts()).toMatchObject([
      {
        alert_type: 'object-conflict',
        job: job.id,
        message: expect.stringContaining('100 bytes instead of 99. Nothing was overwritten.'),
      },
    ])
    expect((await rig.actions()).at(-1)).toBe('object.conflict failed')
  })

  it('holds config, keys and the snapshots a job is about, and no other snapshot', async () => {
    const agent = await rig.readyAgent()
    const [mine, others] = [sha256('mine'), sha256('others')]
    for (const id of [mine, others]) {
      rig.objects.contents.set(smallKey(agent.repository, 'snapshot', id), bytesOf(id))
    }
    const { run, job } = await rig.started(agent, {
      kind: 'browse',
      parameters: {
        kind: 'browse',
        snapshot: mine,
        source: { kind: 'volume', name: 'data' },
        path: '',
        what: 'list',
        recipient: 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p',
      },
    })
    const read = (what: string, id?: string) => agent.ask(run, 'read', { what, id }, job)
    expect((await read('config')).body.bytes).toBe(initialBody(agent.repository).config)
    expect((await read('snapshot', mine)).body.bytes).toBe(base64(bytesOf(mine)))
    expect((await read('snapshot', others)).body.code).toBe('forbidden')
    expect((await read('key', 'b'.repeat(64))).body).toMatchObject({
      status: 404,
      code: 'not-found',
    })
    expect((await read('key')).body.detail).toBe('id: needed to read a key')
    rig.objects.contents.set(smallKey(agent.repository, 'key', mine), Buffer.alloc(70_000))
    expect((await read('key', mine)).body.code).toBe('too-large')
  })

  it('says so when the vault is away', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    rig.objects.away = true
    const answer = await agent.ask(run, 'listing', { what: 'index' }, job)
    expect(answer).toMatchObject({ status: 503, body: { code: 'store-unavailable' } })
    rig.objects.away = false
  })
})

describe('locks', () => {
  const lockOf = (text: string) => ({ id: sha256(bytesOf(text)), bytes: base64(bytesOf(text)) })

  it('are stored, shown to others, refreshed one for one, and removed', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const foreign = lockOf('stock restic')
    const keyOf = (id: string) => smallKey(agent.repository, 'lock', id)
    rig.objects.contents.set(keyOf(foreign.id), bytesOf('stock restic'))
    const before = Date.now()
    const first = await agent.ask(run, 'lock', lockOf('one'), job)
    expect(Date.now() - before).toBeGreaterThanOrEqual(195)
    expect(first.body).toEqual({ others: [foreign] })
    expect((await agent.ask(run, 'lock', lockOf('one'), job)).body).toEqual(first.body)
    await agent.ask(run, 'lock', { ...lockOf('two'), replaces: lockOf('one').id }, job)
    const locks = () => [...rig.objects.contents.keys()].filter((key) => key.includes('/locks/'))
    expect(locks().sort()).toEqual([keyOf(foreign.id), keyOf(lockOf('two').id)].sort())
    // A mover that forgot its lock has still only one.
    await agent.ask(run, 'lock', lockOf('three'), job)
    expect(locks()).toHaveLength(2)
    for (let n = 0; n < 2; n++) {
      expect((await agent.ask(run, 'unlock', { id: lockOf('three').id }, job)).body).toEqual({})
    }
    expect(locks()).toEqual([keyOf(foreign.id)])
    // A lock nobody of ours stored is nothing we remove.
    await agent.ask(run, 'unlock', { id: foreign.id }, job)
    expect(locks()).toEqual([keyOf(foreign.id)])
    const wrong = await agent.ask(run, 'lock', { ...lockOf('x'), id: sha256('y') }, job)
    expect(wrong.body.detail).toBe('id: is not the SHA-256 of the bytes')
  })

  it('of one mover are not for another to replace or remove', async () => {
    const agent = await rig.readyAgent()
    const backup = await rig.started(agent)
    const verify = await rig.started(agent, {
      kind: 'verify',
      parameters: { kind: 'verify', readData: false },
    })
    const lock = lockOf('one')
    await agent.ask(backup.run, 'lock', lock, backup.job)
    const replaced = { ...lockOf('two'), replaces: lock.id }
    const stolen = await agent.ask(verify.run, 'lock', replaced, verify.job)
    expect(stolen.body.detail).toBe('replaces: is the lock of another mover')
    const removed = await agent.ask(verify.run, 'unlock', { id: lock.id }, verify.job)
    expect(removed.body.detail).toBe('this is the lock of another mover')
    expect((await agent.ask(verify.run, 'lock', lock, verify.job)).body.code).toBe('already-exists')
  })

  it('stay half an hour after the lease lapsed or the batch ended, then go', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const lock = lockOf('one')
    await agent.ask(run, 'lock', lock, job)
    const key = smallKey(agent.repository, 'lock', lock.id)
    const sweep = () => rig.door.agents.locks.sweep()
    rig.clock.skip(9 * MINUTE)
    await agent.renew()
    await agent.lease(run)
    rig.clock.skip(39 * MINUTE) // the lease lapsed 29 minutes ago
    expect(await sweep()).toBe(0)
    rig.clock.skip(2 * MINUTE)
    rig.objects.failNext('remove', 'after')
    await expect(sweep()).rejects.toThrow('remove: a fault was asked for')
    expect(await sweep()).toBe(1)
    expect(rig.objects.contents.has(key)).toBe(false)
    expect(await sweep()).toBe(0)
  })

  it('that are gone cannot be refreshed, whoever removed them: their mover has to begin again', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const locks = () => [...rig.objects.contents.keys()].filter((key) => key.includes('/locks/'))
    const refresh = (next: string, old: string) =>
      agent.ask(run, 'lock', { ...lockOf(next), replaces: lockOf(old).id }, job)
    await agent.ask(run, 'lock', lockOf('one'), job)
    // An answer that was lost: the mover still names its first lock.
    expect((await refresh('two', 'one')).status).toBe(200)
    expect((await refresh('three', 'one')).status).toBe(200)
    expect(locks()).toHaveLength(1)
    // Somebody's `restic unlock`.
    rig.objects.contents.delete(smallKey(agent.repository, 'lock', lockOf('three').id))
    const lost = await refresh('four', 'three')
    expect(lost).toMatchObject({ status: 409, body: { code: 'lock-lost' } })
    expect(locks()).toEqual([])
    expect((await agent.ask(run, 'lock', lockOf('five'), job)).status).toBe(200)
    // Our own sweep, while its machine slept.
    rig.clock.skip(41 * MINUTE)
    expect(await rig.door.agents.locks.sweep()).toBe(1)
    await agent.connect()
    await agent.lease(run)
    expect((await refresh('six', 'five')).body.code).toBe('lock-lost')
    expect(locks()).toEqual([])
  })

  it('are refused when too many lie about', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    for (let n = 0; n < 101; n++) {
      const { id } = lockOf(`left ${n}`)
      rig.objects.contents.set(smallKey(agent.repository, 'lock', id), bytesOf(`left ${n}`))
    }
    const answer = await agent.ask(run, 'lock', lockOf('one'), job)
    expect(answer.body).toMatchObject({
      code: 'locked',
      detail: 'the repository has more than 100 locks',
    })
  })
})

describe('a repository that is made', () => {
  async function toInit() {
    const agent = await Agent.enrol(rig.door)
    await agent.connect()
    await queueJob(rig.door, agent)
    await rig.door.agents.dispatch.host(agent.host)
    const run = await agent.frame('run')
    await agent.lease(run)
    return { agent, run }
  }
  const stateOf = async () => (await rig.row('SELECT state FROM repositories'))?.state

  it('has its keys and escrow before its config, and is made once', async () => {
    const { agent, run } = await toInit()
    const body = initialBody(agent.repository)
    const { body: answer } = await agent.ask(run, 'initialise', body)
    expect(answer).toEqual({})
    expect([...rig.objects.contents.keys()]).toEqual([
      ...body.keys.map((key) =>
        smallKey(agent.repository, 'key', sha256(Buffer.from(key, 'base64'))),
      ),
      escrowKey(agent.repository, 1),
      configKey(agent.repository),
    ])
    expect((await agent.ask(run, 'initialise', body)).body).toEqual({})
    expect(await stateOf()).toBe('ready')
    const other = await agent.ask(run, 'initialise', initialBody('other'))
    expect(other).toMatchObject({
      status: 409,
      body: { code: 'exists', detail: 'the repository was made with another config' },
    })
    expect((await rig.alerts())[0]?.alert_type).toBe('object-conflict')
    expect(await rig.row('SELECT recipient FROM escrows')).toMatchObject({
      recipient: body.escrow.recipient,
    })
    await agent.hangUp()
  })

  it('is finished after a restart in the middle, whatever the store did', async () => {
    for (const [fault, at] of [
      ['before', 0],
      ['after', 1],
      ['before', 3],
      ['after', 3],
    ] as const) {
      const name = `web-${fault}-${at}`
      const agent = await Agent.enrol(rig.door, name)
      await agent.connect()
      await queueJob(rig.door, agent)
      await rig.door.agents.dispatch.host(agent.host)
      const run = await agent.frame('run')
      await agent.lease(run)
      const body = initialBody(agent.repository)
      const { put } = rig.objects
      let calls = 0
      rig.objects.put = (key, bytes) => {
        if (calls++ === at) rig.objects.failNext('put', fault)
        return put(key, bytes)
      }
      const failed = await agent.ask(run, 'initialise', body)
      expect(failed.body.code).toBe('store-unavailable')
      rig.objects.put = put
      await agent.hangUp()
      await rig.restart()
      expect(await rig.door.agents.initialise.sweep()).toBe(1)
      const row = await rig.row('SELECT state, initial_json FROM repositories WHERE id = ?', [
        agent.repository,
      ])
      expect(row).toMatchObject({ state: 'ready', initial_json: null })
      expect(rig.objects.contents.has(configKey(agent.repository))).toBe(true)
    }
  })

  it('takes only restic key files, two at least, and the recovery recipient of the enrolment', async () => {
    const { agent, run } = await toInit()
    const body = initialBody(agent.repository)
    const ask = async (change: object) =>
      (await agent.ask(run, 'initialise', { ...body, ...change })).body.detail
    const good = body.keys[0]
    expect(await ask({ keys: [good, base64(Buffer.from('{"kdf":"scrypt"}'))] })).toBe(
      'keys.1: is not a restic key file',
    )
    expect(await ask({ keys: [good, base64(Buffer.from([0xff, 0xfe]))] })).toBe(
      'keys.1: is not JSON',
    )
    expect(await ask({ keys: [good] })).toMatch(/^keys: /)
    expect(await ask({ keys: [good, good] })).toBe('keys: the same key file twice')
    const long = base64(Buffer.concat([keyFile('x'), Buffer.alloc(8_200, 32)]))
    expect(await ask({ keys: [good, long] })).toMatch(/^keys\.1: /)
    expect(await ask({ config: base64(Buffer.from('short')) })).toBe(
      'config: 5 bytes are no sealed config',
    )
    const recipient = 'age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg'
    expect(await ask({ escrow: { ...body.escrow, recipient } })).toBe(
      'escrow.recipient: is not the recovery recipient this host enrolled with',
    )
    expect(rig.objects.contents.size).toBe(0)
    expect(await stateOf()).toBe('absent')
    await agent.hangUp()
  })

  it('is made by init jobs only', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const answer = await agent.ask(run, 'initialise', initialBody('x'), job)
    expect(answer.body.detail).toBe('a job of kind backup makes no repository')
  })
})
