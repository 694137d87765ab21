import { sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MINUTE } from '../../shared/clock.ts'
import { enrolBody, makeKey, newEnrolmentToken, post } from './agent.ts'
import { useRig } from './rig.ts'

const rig = useRig()
const enrol = (body: object, url = rig.door.url) => post(url, 'enroll', body)

describe('enrolment', () => {
  it('gives a host an id and a repository that is absent, in the vault of the token', async () => {
    const { token } = await newEnrolmentToken(rig.door)
    const { status, body } = await enrol(enrolBody(makeKey(), token))
    expect({ status, name: body.name }).toEqual({ status: 200, name: 'web-1' })
    const row = await rig.row('SELECT state, vault, host FROM repositories WHERE id = ?', [
      body.repository,
    ])
    expect(row).toMatchObject({ state: 'absent', host: body.host })
    expect(await rig.actions()).toEqual(['host.enrolled ok'])
  })

  it('refuses a token it never gave out, and says so the same way for a wrong secret', async () => {
    const { token } = await newEnrolmentToken(rig.door)
    const wrong = `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`
    for (const bad of [wrong, `hf_enroll_${'0'.repeat(16)}_${'0'.repeat(64)}`, 'x'.repeat(40)]) {
      const answer = await enrol(enrolBody(makeKey(), bad))
      expect(answer).toMatchObject({
        status: 401,
        body: {
          code: 'unauthenticated',
          detail: 'the enrolment token is not valid',
          hint: 'check that it was copied whole, or make a new one with: holdfast enroll-token',
        },
      })
    }
    expect(await rig.actions()).toEqual([])
  })

  it('refuses a used token, but answers again to the key it was used for', async () => {
    const { token } = await newEnrolmentToken(rig.door)
    const key = makeKey()
    const first = await enrol(enrolBody(key, token))
    expect(await enrol(enrolBody(key, token))).toEqual(first)
    const other = await enrol(enrolBody(makeKey(), token, 'web-2'))
    expect(other.status).toBe(401)
    expect(other.body.code).toBe('token-used')
    expect(other.body.detail).toMatch(/^this enrolment token was used at 20.*Z; it works once$/)
    expect(await rig.actions()).toEqual(['host.enrolled ok', 'host.enrolled refused'])
  })

  it('refuses a token after its ten minutes', async () => {
    const { token } = await newEnrolmentToken(rig.door, rig.clock.now() + 10 * MINUTE)
    rig.clock.skip(10 * MINUTE + 1)
    const { status, body } = await enrol(enrolBody(makeKey(), token))
    expect({ status, code: body.code }).toEqual({ status: 401, code: 'token-expired' })
    expect(body.detail).toMatch(/^this enrolment token expired at 20/)
    expect(body.hint).toBe('make a new one with: holdfast enroll-token')
  })

  it('refuses a name that is taken, whatever the case of its letters, and leaves the token good', async () => {
    const first = await newEnrolmentToken(rig.door)
    await enrol(enrolBody(makeKey(), first.token, 'Web-1'))
    const { token } = await newEnrolmentToken(rig.door)
    const refused = await enrol(enrolBody(makeKey(), token, 'web-1'))
    expect(refused).toMatchObject({
      status: 409,
      body: {
        code: 'already-exists',
        detail: 'a host named "web-1" is in the fleet already',
        hint: 'give this host another name, or remove the other host from the fleet first',
      },
    })
    expect((await enrol(enrolBody(makeKey(), token, 'web-2'))).status).toBe(200)
  })

  it('refuses a key that belongs to another host', async () => {
    const key = makeKey()
    await enrol(enrolBody(key, (await newEnrolmentToken(rig.door)).token, 'web-1'))
    const second = await newEnrolmentToken(rig.door)
    const { body } = await enrol(enrolBody(key, second.token, 'web-2'))
    expect(body.detail).toBe('this key belongs to a host of the fleet already')
  })

  it('refuses a signature by another key, and one over another name', async () => {
    const { token } = await newEnrolmentToken(rig.door)
    const key = makeKey()
    const body = enrolBody(key, token)
    const foreign = sign(null, Buffer.from('x'), makeKey().privateKey).toString('hex')
    const detail = 'the signature was not made with the key it names'
    for (const bad of [
      { ...body, signature: foreign },
      { ...body, name: 'other' },
      { ...body, machine: 'other' },
      { ...body, publicKey: '0'.repeat(64) },
    ]) {
      expect((await enrol(bad)).body.detail).toBe(detail)
    }
  })

  it('names the field that is wrong, and no value', async () => {
    const { token } = await newEnrolmentToken(rig.door)
    const body = enrolBody(makeKey(), token)
    const answer = await enrol({ ...body, name: 'a b', recovery: 'age1nonsense' })
    expect(answer.status).toBe(422)
    expect(answer.body.detail).toMatch(/^name: .*; recovery: must be an age X25519 recipient/)
    expect(JSON.stringify(answer.body)).not.toContain(token)
    expect((await enrol({ ...body, extra: 1 })).body.detail).toContain('extra')
    const text = await post(rig.door.url, 'enroll', '{"token":')
    expect(text).toMatchObject({ status: 422, body: { detail: 'the body is not JSON' } })
    const long = await post(rig.door.url, 'enroll', JSON.stringify({ x: 'y'.repeat(20_000) }))
    expect(long).toMatchObject({ status: 413, body: { code: 'too-large' } })
  })

  it('lets one of many racing hosts in, across two control planes', async () => {
    const second = await rig.openSecond()
    const { token } = await newEnrolmentToken(rig.door)
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        enrol(enrolBody(makeKey(), token, `web-${n}`), n % 2 ? second.url : rig.door.url),
      ),
    )
    const codes = answers.map(({ status, body }) => (status === 200 ? 'ok' : body.code)).sort()
    expect(codes).toEqual(['ok', ...Array(11).fill('token-used')])
    expect(await rig.row('SELECT COUNT(*) AS n FROM hosts')).toMatchObject({ n: 1 })
  })

  it('slows an address down that keeps trying', async () => {
    const body = enrolBody(makeKey(), `hf_enroll_${'0'.repeat(16)}_${'0'.repeat(64)}`)
    const answers = []
    for (let n = 0; n < 40; n++) answers.push((await enrol(body)).status)
    expect(answers.slice(0, 30)).toEqual(Array(30).fill(401))
    expect(answers.at(-1)).toBe(429)
    rig.clock.skip(4_000)
    expect((await enrol(body)).status).toBe(401)
  })
})
