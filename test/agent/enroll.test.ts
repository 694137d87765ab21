import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  agentCommand,
  makeStateDirectory,
  RECOVERY,
  removeState,
} from '../support/agent-process.ts'
import { ScriptedPlane } from '../support/scripted-plane.ts'

let plane: ScriptedPlane
let state: string
beforeEach(async () => {
  plane = await ScriptedPlane.start()
  state = makeStateDirectory()
})
afterEach(async () => {
  await plane.stop()
  removeState(state)
})

const words = (...more: string[]) => [
  'enroll',
  '--url',
  plane.origin,
  '--name',
  'web-1',
  '--state',
  state,
  ...more,
]

describe('enroll', () => {
  it('makes its keys on the host, proves the key, pins the recovery recipient and keeps it all private', async () => {
    const ended = await agentCommand(words('--recovery', RECOVERY), { input: `${plane.token}\n` })
    expect(ended.stderr).toBe('')
    expect(ended.code).toBe(0)
    const printed = JSON.parse(ended.stdout)
    expect(printed).toMatchObject({ host: plane.host, name: 'web-1', repository: plane.repository })
    expect(plane.enrolments[0]).toMatchObject({
      name: 'web-1',
      recovery: RECOVERY,
      recipient: printed.recipient,
    })
    expect(JSON.parse(readFileSync(join(state, 'agent.json'), 'utf8'))).toMatchObject({
      url: plane.origin,
      recovery: RECOVERY,
    })
    expect(statSync(state).mode & 0o777).toBe(0o700)
    for (const name of ['agent.json', 'identity.pem', 'host.age', 'reserve']) {
      expect(statSync(join(state, name)).mode & 0o777, name).toBe(0o600)
    }
    expect(statSync(join(state, 'reserve')).blocks * 512).toBeGreaterThanOrEqual(64 * 2 ** 20)
    expect(readFileSync(join(state, 'agent.json'), 'utf8')).not.toContain(plane.token)
  })

  it('takes the token from the environment or from a file it names', async () => {
    const file = join(state, 'token')
    writeFileSync(file, `${plane.token}\n`)
    const ended = await agentCommand(words(), { env: { HOLDFAST_ENROLL_TOKEN_FILE: file } })
    expect(ended.code).toBe(0)
    expect(ended.stderr).toContain('This host has no recovery recipient, so it does not back up.')
  })

  it.each([
    [['hf_enroll_CANARYCANARY']],
    [['--token', 'hf_enroll_CANARYCANARY']],
    [['--token=hf_enroll_CANARYCANARY']],
  ])('refuses a token among its arguments (%s) and does not repeat it', async (given) => {
    const ended = await agentCommand(words(...given))
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('a token is never given as an argument: others can read it')
    expect(ended.stderr).toContain('HOLDFAST_ENROLL_TOKEN_FILE')
    expect(ended.stderr).not.toContain('CANARY')
    expect(plane.calls).toEqual([])
  })

  it('says that a token is wrong, used or missing', async () => {
    const wrong = await agentCommand(words(), { input: 'hf_enroll_0000000000000000\n' })
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toBe('holdfast-agent: unauthenticated: the enrolment token is not known\n')
    expect(existsSync(join(state, 'agent.json'))).toBe(false)

    const missing = await agentCommand(words(), { input: '' })
    expect(missing.stderr).toContain('the enrolment token is missing or too short')
    expect(missing.stderr).toContain('holdfast enroll-token')

    const first = await agentCommand(words(), { input: plane.token })
    expect(first.code).toBe(0)
    const other = mkdtempSync(join(tmpdir(), 'holdfast-agent-'))
    const again = await agentCommand(
      ['enroll', '--url', plane.origin, '--name', 'web-2', '--state', other],
      { input: plane.token },
    )
    rmSync(other, { recursive: true })
    expect(again.stderr).toBe('holdfast-agent: token-used: the enrolment token was used before\n')
  })

  it('refuses to enrol a host twice, or to change its recovery recipient', async () => {
    await agentCommand(words('--recovery', RECOVERY), { input: plane.token })
    const again = await agentCommand(words('--recovery', RECOVERY), { input: plane.token })
    expect(again.code).toBe(1)
    expect(again.stderr).toContain('already-exists: this host is enrolled already, as web-1')
    expect(again.stderr).toContain('host.yaml')
    expect(plane.enrolments).toHaveLength(1)
  })

  it.each([
    [
      'http://plane.example',
      '--url: "http://plane.example": plain http is allowed to loopback alone',
    ],
    ['ftp://plane.example', '--url: "ftp://plane.example": must be an https:// URL'],
    ['plane', '--url: "plane": must be an https:// URL'],
    ['https://me:CANARY@plane.example', '--url: must not hold a user or password'],
    ['https://plane.example/there', '--url: "https://plane.example/there": must not hold a path'],
  ])('refuses the address %s', async (url, message) => {
    const ended = await agentCommand(['enroll', '--url', url, '--state', state], {
      input: plane.token,
    })
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain(message)
    expect(ended.stderr).not.toContain('CANARY')
  })

  it('refuses what is no recovery recipient, above all a secret key, and does not repeat it', async () => {
    const ended = await agentCommand(words('--recovery', 'AGE-SECRET-KEY-1CANARYCANARY'), {
      input: plane.token,
    })
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('must be an age recipient (age1…)')
    expect(ended.stderr).not.toContain('CANARY')
  })

  it('says so when nobody answers at the address', async () => {
    await plane.stop()
    const ended = await agentCommand(words(), { input: plane.token })
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('plane-unavailable')
    expect(ended.stderr).toContain('could not be reached: ECONNREFUSED')
    plane = await ScriptedPlane.start()
  })
})
