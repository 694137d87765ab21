// What people and machines get wrong, through the real command, with the words they get to read.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@libsql/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { agentCommand } from '../support/agent-process.ts'
import { type Fleet, type FleetHost, startFleet } from '../support/fleet.ts'

/** One more than a frame or a request may have, in bytes. */
const TOO_LARGE = 1024 * 1024 + 1

let fleet: Fleet
let host: FleetHost
let source = ''

beforeAll(async () => {
  fleet = await startFleet()
  source = join(fleet.folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, 'a'), 'a')
  host = await fleet.host('web-1', { directories: [source] })
  await host.offers(`directory:${source}`)
})
afterAll(() => fleet?.stop())

async function enroll(token: string, name = 'web-9') {
  const state = join(fleet.folder, `state-${Math.random()}`)
  const words = ['enroll', '--url', fleet.url, '--name', name, '--state', state]
  return agentCommand([...words, '--recovery', fleet.recovery.recipient], { input: `${token}\n` })
}

describe('An enrolment token', () => {
  test('that was never made is refused', async () => {
    const { token } = await fleet.run('enroll-token')
    const last = (token as string).endsWith('A') ? 'B' : 'A'
    const ended = await enroll(`${(token as string).slice(0, -1)}${last}`)
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('the enrolment token is not valid')
    expect(ended.stderr).toContain('check that it was copied whole')
    expect(ended.stderr).not.toContain(token)
  })

  test('works once', async () => {
    const { token } = await fleet.run('enroll-token')
    expect((await enroll(token as string, 'web-2')).code).toBe(0)
    const again = await enroll(token as string, 'web-3')
    expect(again.code).toBe(1)
    expect(again.stderr).toMatch(/this enrolment token was used at 20\S+Z; it works once/)
    expect((await fleet.list('hosts')).map(({ name }) => name)).not.toContain('web-3')
  })

  test('ends after ten minutes', async () => {
    const issued = await fleet.run('enroll-token')
    const life = Date.parse(issued.expiresAt as string) - Date.now()
    expect(Math.abs(life - 600_000)).toBeLessThan(30_000)
    // Nobody waits ten minutes here: the time it was given is moved back instead.
    const database = createClient({ url: `file:${join(fleet.data, 'holdfast.db')}` })
    await database.execute('UPDATE enrolment_tokens SET expires_at = expires_at - 601000')
    database.close()
    const ended = await enroll(issued.token as string)
    expect(ended.code).toBe(1)
    expect(ended.stderr).toMatch(/this enrolment token expired at 20\S+Z/)
    expect(ended.stderr).toContain('holdfast enroll-token')
  })

  test('does not give a second host the name of the first', async () => {
    const { token } = await fleet.run('enroll-token')
    const ended = await enroll(token as string, 'web-1')
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('a host named "web-1" is in the fleet already')
  })
})

describe('A policy file', () => {
  const head = 'apiVersion: holdfast/v1\nkind: Policy\nname: nightly\n'
  const select = 'select:\n  volumes: ["*"]\n'
  async function apply(text: string): Promise<string> {
    const file = join(fleet.folder, 'policy.yaml')
    writeFileSync(file, text)
    const ran = await fleet.attempt('policy', 'apply', '-f', file)
    expect(ran.exitCode).toBe(1)
    const { message, code } = JSON.parse(ran.stderr) as { message: string; code: string }
    expect(code).toBe('invalid')
    expect(await fleet.list('policy', 'list')).toEqual([])
    return message.replaceAll(file, 'policy.yaml')
  }

  test('with a field nobody knows is refused, and the file, line and field are named', async () => {
    expect(await apply(`${head}${select}schedul:\n  cron: "0 2 * * *"\n`)).toContain(
      'policy.yaml:6: schedul: unknown field; known here: apiVersion, kind, name, select, schedule',
    )
  })

  test('with an hour that no day has is refused', async () => {
    const text = await apply(`${head}${select}schedule:\n  cron: "0 25 * * *"\n`)
    expect(text).toMatch(/policy\.yaml:7: schedule\.cron: cron "0 25 \* \* \*" is not usable: .+/)
  })

  test('with a day that no month has is refused', async () => {
    expect(await apply(`${head}${select}schedule:\n  cron: "0 0 31 2 *"\n`)).toContain(
      'policy.yaml:7: schedule.cron: cron "0 0 31 2 *" never fires',
    )
  })

  test('with a time zone that is none is refused', async () => {
    const zone = 'schedule:\n  cron: "0 2 * * *"\n  timezone: Europe/Atlantis\n'
    expect(await apply(`${head}${select}${zone}`)).toContain(
      'policy.yaml:8: schedule.timezone: unknown time zone "Europe/Atlantis"; use an IANA name such as "Europe/Berlin" or "UTC"',
    )
  })
})

describe('A backup', () => {
  test('of a source that is not there is refused by its name', async () => {
    const ran = await fleet.attempt('backup', '--host', 'web-1', '--volume', 'no-such-volume')
    expect(ran.exitCode).toBe(1)
    expect(JSON.parse(ran.stderr)).toMatchObject({
      message: expect.stringContaining('no-such-volume'),
    })
  })

  test('of a host that is not there is refused by its name', async () => {
    const ran = await fleet.attempt('backup', '--host', 'web-77', '--volume', 'x')
    expect(ran.exitCode).toBe(1)
    expect(JSON.parse(ran.stderr)).toMatchObject({ message: expect.stringContaining('web-77') })
  })
})

describe('What is too large', () => {
  test('is refused as a request', async () => {
    const answer = await fetch(`${fleet.url}/api/v1/jobs/backup`, {
      method: 'POST',
      headers: { authorization: `Bearer ${fleet.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ host: 'x'.repeat(TOO_LARGE) }),
    })
    expect(answer.status).toBe(413)
    expect(await answer.json()).toMatchObject({ code: 'too-large' })
  })

  test('closes the socket as a frame, and the others go on', async () => {
    const socket = new WebSocket(`${fleet.url.replace('http', 'ws')}/agent/v1/connect`)
    const closed = await new Promise<number>((resolve, reject) => {
      socket.on('open', () => socket.send('x'.repeat(TOO_LARGE)))
      socket.on('close', resolve)
      socket.on('error', reject)
    })
    // RFC 6455: message too big.
    expect(closed).toBe(1009)
    expect(await host.backup(`directory:${source}`)).toMatchObject({ outcome: 'succeeded' })
  })
})
