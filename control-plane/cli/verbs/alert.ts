import type { Command } from 'commander'
import { level } from '../../../shared/alert/alert.ts'
import { type NewChannel, newChannel } from '../../../shared/alert/channel.ts'
import { HoldfastError } from '../../../shared/errors.ts'
import { answerOf, done } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'
import { secretInput } from '../secret-input.ts'
import { collect } from './backup.ts'

interface AddOptions {
  webhook?: boolean
  slack?: boolean
  emailTo: string[]
  from?: string
  smtp?: string
  smtpUser?: string
  smtpTls?: string
  level: string
}

export function addAlert(program: Command, context: () => Context): void {
  const alert = program.command('alert').description('Who is told when a backup did not happen')
  alert
    .command('add <name>')
    .description(
      'Add a channel: a webhook, Slack, or email. Addresses of webhooks and passwords are secrets: HOLDFAST_ALERT_URL and HOLDFAST_SMTP_PASSWORD (or …_FILE), or a prompt',
    )
    .option('--webhook', 'a generic webhook, signed (Standard Webhooks)')
    .option('--slack', 'a Slack incoming webhook')
    .option('--email-to <address>', 'mail to this address; may be given several times', collect, [])
    .option('--from <address>', 'sender of the mail')
    .option('--smtp <host:port>', 'mail server')
    .option('--smtp-user <user>', 'user on the mail server')
    .option('--smtp-tls <mode>', 'starttls, implicit, or none (loopback only)', 'starttls')
    .option('--level <level>', `from this level on: ${level.options.join(', ')}`, 'warning')
    .action(async (name: string, options: AddOptions) => {
      const ctx = context()
      const json = await channelOf(ctx, name, options)
      const made = await answerOf((await ctx.api())['alert-channels'].$post({ json }))
      const secret = made.secret === undefined ? '' : `\nSigning secret, shown once: ${made.secret}`
      ctx.output.one(
        made,
        `channel ${made.name} is added; try it with \`holdfast alert test ${made.name}\`${secret}`,
      )
    })
  alert
    .command('list')
    .description('List channels')
    .action(async () => {
      const { output, api } = context()
      const { items } = await answerOf((await api())['alert-channels'].$get())
      output.list(items, [
        ['NAME', (one) => one.name],
        ['KIND', (one) => one.settings.kind],
        [
          'WHERE',
          (one) => (one.settings.kind === 'email' ? one.settings.to.join(',') : one.settings.host),
        ],
        ['FROM LEVEL', (one) => one.minimumLevel],
        ['STATE', (one) => (one.disabledAt === null ? 'on' : `off: ${one.disabledWhy}`)],
      ])
    })
  alert
    .command('remove <name>')
    .description('Delete a channel')
    .action(async (name: string) => {
      const { output, api } = context()
      await done((await api())['alert-channels'][':name'].$delete({ param: { name } }))
      output.one({ removed: name }, `channel ${name} is deleted`)
    })
  alert
    .command('test <name>')
    .description('Send a test alert and wait for its delivery')
    .action(async (name: string) => {
      const ctx = context()
      const sent = await answerOf(
        (await ctx.api())['alert-channels'][':name'].test.$post({ param: { name } }),
      )
      const delivery = await firstAttempt(ctx, sent.alert.id)
      ctx.output.one(
        delivery,
        delivery.state === 'delivered'
          ? `delivered to ${name}`
          : `not delivered to ${name} yet (${delivery.state}): ${delivery.lastError ?? 'no answer so far'}`,
      )
      if (delivery.state !== 'delivered') ctx.exitCode = 1
    })
  alert
    .command('deliveries')
    .description('List deliveries, newest first')
    .option('--channel <name>')
    .option('--state <state>', 'pending, delivered or failed')
    .option('--limit <n>', 'at most this many', '50')
    .action(async (filter: { channel?: string; state?: string; limit: string }) => {
      const { output, api } = context()
      const query = Object.fromEntries(
        Object.entries(filter).filter(([, value]) => value !== undefined),
      )
      const { items } = await answerOf((await api())['alert-deliveries'].$get({ query }))
      output.list(items, [
        ['TIME', (one) => formatTime(one.createdAt)],
        ['ALERT', (one) => one.alert.alert_type],
        ['HOST', (one) => one.alert.hostname],
        ['CHANNEL', (one) => one.channel],
        ['STATE', (one) => one.state],
        ['ATTEMPTS', (one) => String(one.attempts)],
        ['NEXT', (one) => formatTime(one.nextAt)],
        ['LAST ERROR', (one) => one.lastError ?? ''],
      ])
    })
}

/** Looks at a test delivery until its first attempt has an end, for this many looks. */
const LOOKS = 60
/** Time between two looks, in ms. */
const LOOK_EVERY = 500

async function firstAttempt(context: Context, alertId: string) {
  const deliveries = (await context.api())['alert-deliveries']
  for (let look = 0; ; look++) {
    const { items } = await answerOf(deliveries.$get({ query: { alert: alertId } }))
    const [delivery] = items
    if (delivery === undefined)
      throw new HoldfastError('not-found', 'the test delivery is gone: was the channel deleted?')
    if (delivery.state !== 'pending' || delivery.attempts > 0 || look === LOOKS) return delivery
    context.signal.throwIfAborted()
    await new Promise((next) => setTimeout(next, LOOK_EVERY))
  }
}

async function channelOf(context: Context, name: string, options: AddOptions): Promise<NewChannel> {
  const kinds = [options.webhook, options.slack, options.emailTo.length > 0 || undefined].filter(
    (one) => one !== undefined,
  )
  if (kinds.length !== 1)
    throw new HoldfastError('invalid', 'give one of --webhook, --slack and --email-to')
  const common = { name, minimumLevel: options.level }
  const raw =
    options.emailTo.length > 0
      ? { ...common, ...(await emailOf(context, options)) }
      : {
          ...common,
          kind: options.slack ? 'slack' : 'webhook',
          url: await secretInput(context, 'HOLDFAST_ALERT_URL', 'Address of the webhook: '),
        }
  const parsed = newChannel.safeParse(raw)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw new HoldfastError('invalid', problems.join('; '))
}

async function emailOf(context: Context, options: AddOptions) {
  if (options.smtp === undefined)
    throw new HoldfastError('invalid', '--smtp is missing', {
      hint: 'e.g. --smtp mail.example.com:587',
    })
  if (options.from === undefined) throw new HoldfastError('invalid', '--from is missing')
  const [host, port] = splitAddress(options.smtp)
  return {
    kind: 'email',
    host,
    ...(port === undefined ? {} : { port }),
    tls: options.smtpTls,
    from: options.from,
    to: options.emailTo,
    ...(options.smtpUser === undefined
      ? {}
      : {
          user: options.smtpUser,
          password: await secretInput(
            context,
            'HOLDFAST_SMTP_PASSWORD',
            'Password on the mail server: ',
          ),
        }),
  }
}

function splitAddress(text: string): [string, number | undefined] {
  const match = /^(.*?)(?::(\d+))?$/.exec(text)
  return [match?.[1] ?? text, match?.[2] === undefined ? undefined : Number(match[2])]
}
