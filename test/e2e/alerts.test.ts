// A backup that failed reaches people: a webhook whose signature anyone can check, Slack, and mail.
import { createHmac } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Mailbox, startMailbox } from '../rig/mailbox.ts'
import {
  type ReceivedRequest,
  startWebhookReceiver,
  type WebhookReceiver,
} from '../rig/webhook-receiver.ts'
import { eventually } from '../support/agent-process.ts'
import { type Fleet, type FleetHost, startFleet } from '../support/fleet.ts'

let fleet: Fleet
let host: FleetHost
let hook: WebhookReceiver
let slack: WebhookReceiver
let mailbox: Mailbox
let secret = ''
let source = ''

beforeAll(async () => {
  hook = await startWebhookReceiver()
  slack = await startWebhookReceiver()
  mailbox = await startMailbox()
  fleet = await startFleet({ environment: { HOLDFAST_WEBHOOK_ALLOW: '127.0.0.0/8' } })
  source = join(fleet.folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, 'file'), 'content')
  host = await fleet.host('web-1', { directories: [source] })
  await host.offers(`directory:${source}`)
})
afterAll(async () => {
  await fleet?.stop()
  for (const part of [hook, slack, mailbox]) await part?.stop()
})

/** Standard Webhooks: HMAC-SHA256 of `id.timestamp.body` under the bytes of the secret, in base64. */
function signature({ headers, body }: ReceivedRequest): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const id = headers['webhook-id'] as string
  const stamp = headers['webhook-timestamp'] as string
  const signed = Buffer.concat([Buffer.from(`${id}.${stamp}.`), body])
  return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`
}

test('channels are added, and their secrets are shown once or never', async () => {
  const url = `${hook.url}/hooks/very-secret-path`
  const made = await fleet.as({ HOLDFAST_ALERT_URL: url }).run('alert', 'add', 'ops', '--webhook')
  secret = made.secret as string
  expect(secret).toMatch(/^whsec_/)
  const slackUrl = `${slack.url}/services/T0/B0/also-secret`
  await fleet.as({ HOLDFAST_ALERT_URL: slackUrl }).run('alert', 'add', 'chat', '--slack')
  const smtp = ['--smtp', `127.0.0.1:${mailbox.port}`, '--smtp-tls', 'none']
  const mail = ['--email-to', 'ops@example.com', '--from', 'holdfast@example.com', ...smtp]
  await fleet.run('alert', 'add', 'mail', ...mail)
  const listed = JSON.stringify(await fleet.list('alert', 'list'))
  for (const word of [secret, 'very-secret-path', 'also-secret']) expect(listed).not.toContain(word)
})

test('an address inside that nobody opened is refused', async () => {
  const closed = fleet.as({ HOLDFAST_ALERT_URL: 'http://169.254.169.254/latest/meta-data' })
  const ran = await closed.attempt('alert', 'add', 'inside', '--webhook')
  expect(ran.exitCode).toBe(1)
  expect(JSON.parse(ran.stderr)).toMatchObject({ code: 'invalid' })
})

test('a test alert arrives at each of them, signed so that a stranger can check it', async () => {
  for (const name of ['ops', 'chat', 'mail'])
    expect(await fleet.run('alert', 'test', name)).toMatchObject({
      state: 'delivered',
      attempts: 1,
    })
  const [request] = await hook.received(1)
  expect(request!.url).toBe('/hooks/very-secret-path')
  expect(request!.headers['webhook-signature']).toBe(signature(request!))
  expect(Math.abs(Number(request!.headers['webhook-timestamp']) * 1_000 - Date.now())).toBeLessThan(
    60_000,
  )
  expect(request!.json()).toMatchObject({ alert_type: 'test', level: 'info' })
  expect((await slack.received(1))[0]!.json()).toMatchObject({
    text: expect.stringContaining('test'),
  })
  expect((await mailbox.received(1))[0]!.to).toEqual(['ops@example.com'])
})

test('a job that failed is told to all three, with its reason', async () => {
  rmSync(source, { recursive: true })
  const job = await host.backup(`directory:${source}`)
  expect(job).toMatchObject({ outcome: 'failed', reason: 'source-missing' })
  const request = (await hook.received(2, 30))[1]!
  expect(request.headers['webhook-signature']).toBe(signature(request))
  expect(request.json()).toMatchObject({
    alert_type: 'job-failed',
    level: 'critical',
    hostname: 'web-1',
    message: expect.stringMatching(/\S/),
    timestamp: expect.stringMatching(/^20\d\d-.*Z$/),
    text: expect.stringContaining('job-failed on web-1'),
    job: job.id,
    outcome: 'failed',
    reason: 'source-missing',
  })
  const text = ((await slack.received(2, 30))[1]!.json() as { text: string }).text
  expect(text).toContain('job-failed on web-1')
  const mail = (await mailbox.received(2, 30))[1]!
  expect(mail.headers.get('subject')).toContain('web-1')
  expect(mail.from).toBe('holdfast@example.com')
})

test('a delivery that fails is tried again, and each is to be seen', async () => {
  hook.script({ status: 503 })
  const job = await host.backup(`directory:${source}`)
  expect(job.outcome).toBe('failed')
  const delivery = async () =>
    (await fleet.list('alert', 'deliveries', '--channel', 'ops')).find(
      ({ alert }) => (alert as { job?: string }).job === job.id,
    )
  await eventually('the first attempt failed', async () => (await delivery())?.attempts === 1, 30)
  expect(await delivery()).toMatchObject({
    state: 'pending',
    lastError: expect.stringContaining('503'),
  })
  await eventually('it was delivered', async () => (await delivery())?.state === 'delivered', 120)
  expect(await delivery()).toMatchObject({ attempts: 2 })
  const ids = hook.requests.slice(2).map(({ headers }) => headers['webhook-id'])
  // The same message keeps its id, so that a receiver can tell a repetition.
  expect(new Set(ids).size).toBe(1)
  expect(JSON.stringify(await fleet.list('alert', 'deliveries'))).not.toContain('very-secret-path')
}, 180_000)

test('a channel that is removed gets nothing more', async () => {
  await fleet.run('alert', 'remove', 'chat')
  const before = slack.requests.length
  await host.backup(`directory:${source}`)
  await hook.received(5, 30)
  expect(slack.requests.length).toBe(before)
})
