// API tokens and commands that are sent twice.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DAY, MINUTE } from '../../shared/clock.ts'
import { openRig, type Rig } from './rig.ts'

let rig: Rig
let admin: string
beforeAll(async () => {
  rig = await openRig()
  admin = await rig.token('admin')
})
afterAll(() => rig.close())

const idOf = (token: string) => token.split('_')[2]!
const revoke = (token: string, by: string) =>
  rig.call('DELETE', `/api/v1/api-tokens/${idOf(token)}`, { token: by })

describe('API tokens', () => {
  it('are shown once and stored as a hash', async () => {
    const { status, body } = await rig.call('POST', '/api/v1/api-tokens', {
      token: admin,
      body: { name: 'CI', role: 'operator', expiresInDays: 30 },
    })
    expect(status).toBe(201)
    expect(body).toMatchObject({ name: 'CI', role: 'operator', lastUsedAt: null, revokedAt: null })
    expect(Date.parse(body.expiresAt) - rig.clock.now()).toBe(30 * DAY)
    expect((await rig.call('GET', '/api/v1/hosts', { token: body.token })).status).toBe(200)
    for (const table of ['api_tokens', 'audit', 'queue', 'idempotency']) {
      const dump = await rig.database.read(`SELECT * FROM ${table}`)
      expect(JSON.stringify(dump.rows)).not.toContain(body.token.slice(-64))
    }
  })

  it('note their last use at most once a minute', async () => {
    const token = await rig.token('operator')
    const lastUse = async () => (await rig.stores.apiTokens.find(idOf(token)))?.lastUsedAt
    const use = () => rig.call('GET', '/api/v1/hosts', { token })
    await use()
    const first = await lastUse()
    rig.clock.advance(MINUTE - 1)
    await use()
    expect(await lastUse()).toBe(first)
    rig.clock.advance(2)
    await use()
    expect(await lastUse()).toBe(rig.clock.now())
  })

  it('of others are neither seen nor revoked by an operator, their own are', async () => {
    const [mine, other] = [await rig.token('operator'), await rig.token('operator')]
    const list = await rig.call('GET', '/api/v1/api-tokens', { token: mine })
    expect(list.body.items.map(({ id }: { id: string }) => id)).toEqual([idOf(mine)])
    expect((await revoke(other, mine)).body.detail).toBe(`there is no token "${idOf(other)}"`)
    expect((await revoke(mine, mine)).status).toBe(204)
    const after = await rig.call('GET', '/api/v1/hosts', { token: mine })
    expect(after.body.detail).toBe('the token "the operator" was revoked')
  })

  it('of the last live admin cannot be revoked', async () => {
    const lone = await openRig()
    const first = await lone.token('admin')
    const second = await lone.token('admin', 1)
    const remove = (token: string, by: string) =>
      lone.call('DELETE', `/api/v1/api-tokens/${idOf(token)}`, { token: by })
    lone.clock.advance(DAY)
    const refused = await remove(first, first)
    expect([refused.status, refused.body.code]).toEqual([409, 'in-use'])
    expect(refused.body.detail).toBe('this is the last admin token; nobody could administer')
    expect((await remove(second, first)).status).toBe(204)
    await lone.close()
  })

  it.each([
    [{ name: '', role: 'admin' }, 'name: Too small: expected string to have >=1 characters'],
    [
      { name: 'x', role: 'owner' },
      'role: Invalid option: expected one of "admin"|"operator"|"auditor"',
    ],
    [
      { name: 'x', role: 'admin', expiresInDays: 0 },
      'expiresInDays: Too small: expected number to be >=1',
    ],
    [{ role: 'admin' }, 'name: is required'],
  ])('refuse %j', async (body, detail) => {
    const answer = await rig.call('POST', '/api/v1/api-tokens', { token: admin, body })
    expect([answer.status, answer.body.detail]).toEqual([422, detail])
  })
})

describe('a command with an Idempotency-Key', () => {
  const send = (key: string, body: object, token = admin) =>
    rig.call('POST', '/api/v1/api-tokens', { token, body, key })
  const count = async () =>
    Number((await rig.database.read('SELECT COUNT(*) AS n FROM api_tokens')).rows[0]!.n)

  it('takes effect once and answers the same', async () => {
    const before = await count()
    const first = await send('one', { name: 'x', role: 'auditor' })
    const second = await send('one', { name: 'x', role: 'auditor' })
    expect([second.status, second.text]).toEqual([first.status, first.text])
    expect(first.headers.get('idempotency-replayed')).toBeNull()
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect(await count()).toBe(before + 1)
  })

  it('keeps no answer in the clear', async () => {
    const { body } = await send('sealed', { name: 'x', role: 'auditor' })
    const dump = await rig.database.read('SELECT * FROM idempotency')
    expect(JSON.stringify(dump.rows)).not.toContain(body.token.slice(-64))
  })

  it('is refused for another request, and free for another person', async () => {
    await send('two', { name: 'x', role: 'auditor' })
    const other = await send('two', { name: 'y', role: 'auditor' })
    expect([other.status, other.body.detail]).toEqual([
      409,
      'this Idempotency-Key was used for another request',
    ])
    const person = await rig.token('admin')
    expect((await send('two', { name: 'y', role: 'auditor' }, person)).status).toBe(201)
  })

  it('is free again after a refusal that changed nothing', async () => {
    expect((await send('three', { name: 'x', role: 'owner' })).status).toBe(422)
    expect((await send('three', { name: 'x', role: 'auditor' })).status).toBe(201)
  })

  it('whose first request is under way, or broke off, says so instead of doing it again', async () => {
    const body = { name: 'x', role: 'auditor' }
    await send('four', body)
    await rig.database.write([
      `UPDATE idempotency SET status = NULL, answer = NULL WHERE key = 'four'`,
    ])
    const early = await send('four', body)
    expect(early.body.detail).toBe('the first request with this Idempotency-Key is still under way')
    rig.clock.advance(2 * MINUTE)
    const late = await send('four', body)
    expect(late.body.detail).toBe(
      'the first request with this Idempotency-Key broke off; whether it took effect is unknown',
    )
  })

  it('sent ten times at once takes effect once', async () => {
    const before = await count()
    const body = { name: 'ten', role: 'auditor' }
    const answers = await Promise.all(Array.from({ length: 10 }, () => send('five', body)))
    expect(await count()).toBe(before + 1)
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 201).length).toBeGreaterThan(0)
    expect(statuses.every((status) => status === 201 || status === 409)).toBe(true)
  })

  it('is forgotten after a day', async () => {
    await send('six', { name: 'x', role: 'auditor' })
    rig.clock.advance(DAY + 1)
    await rig.idempotency.forget()
    const before = await count()
    await send('six', { name: 'x', role: 'auditor' })
    expect(await count()).toBe(before + 1)
  })

  it('must be printable and short', async () => {
    const answer = await send('x'.repeat(129), { name: 'x', role: 'auditor' })
    expect(answer.body.detail).toBe('Idempotency-Key must be 1 to 128 printable characters')
  })
})
