// Email over SMTP, encrypted unless the server is this machine.
import { getSystemErrorName } from 'node:util'
import { createTransport } from 'nodemailer'
import type { Alert } from '../../../shared/alert/alert.ts'
import { plainAlertText } from '../../../shared/alert/text.ts'
import type { Notifier, NotifierResult } from '../../ports/notifier.ts'
import { networkError } from './pinned-post.ts'

/** Patience in ms: to connect and for the greeting, and for silence on the line. */
const CONNECT_TIMEOUT = 10_000
const SILENCE_TIMEOUT = 15_000
/** Longest subject: one line that every reader shows whole. */
const MAX_SUBJECT = 150

export function createEmailNotifier(): Notifier {
  return {
    async send({ settings, secret }, alert, messageId) {
      if (settings.kind !== 'email') return { state: 'failed', error: 'it is not an email channel' }
      const { host, port, tls, user, from, to } = settings
      const transport = createTransport({
        host,
        port,
        secure: tls === 'implicit',
        requireTLS: tls === 'starttls',
        ignoreTLS: tls === 'none',
        ...(user === null ? {} : { auth: { user, pass: secret.password ?? '' } }),
        connectionTimeout: CONNECT_TIMEOUT,
        greetingTimeout: CONNECT_TIMEOUT,
        socketTimeout: SILENCE_TIMEOUT,
        // Neither files nor URLs are ever read for a mail of ours.
        disableFileAccess: true,
        disableUrlAccess: true,
      })
      try {
        await transport.sendMail({
          from,
          to: [...to],
          subject: plainAlertText(alert).slice(0, MAX_SUBJECT),
          text: mailText(alert),
          // The same for every attempt: most receivers drop the second.
          messageId: `<${messageId}@holdfast>`,
          headers: { 'Auto-Submitted': 'auto-generated' },
        })
        return { state: 'delivered' }
      } catch (error) {
        return resultOf(error)
      } finally {
        transport.close()
      }
    },
  }
}

function mailText(alert: Alert): string {
  const { message, ...facts } = alert
  const lines = Object.entries(facts).map(([name, value]) => `${name}: ${value}`)
  return `${message}\n\n${lines.join('\n')}\n`
}

/** Causes by nodemailer's codes. Its messages quote servers and addresses, so none is passed on. */
const words: Readonly<Record<string, string>> = {
  EAUTH: 'the mail server refused user or password',
  ENOAUTH: 'the mail server asks for a user and password',
  ETLS: 'the mail server offers no TLS, or TLS failed',
  EENVELOPE: 'the mail server refused sender or recipients',
  EMESSAGE: 'the mail server refused the message',
  EDNS: 'the name of the mail server could not be resolved',
  ETIMEDOUT: 'the mail server did not answer in time',
  EPROTOCOL: 'the mail server did not speak SMTP',
}

function resultOf(raised: unknown): NotifierResult {
  const error = raised as { code?: string; responseCode?: number; errno?: unknown }
  const answered = error.responseCode === undefined ? '' : ` (${error.responseCode})`
  // A recipient that does not exist will not exist tomorrow.
  const forGood = error.code === 'EENVELOPE' && (error.responseCode ?? 0) >= 550
  // The system's own code is replaced by nodemailer's ESOCKET; its number stays.
  const system = typeof error.errno === 'number' ? { code: getSystemErrorName(error.errno) } : error
  const word = words[error.code ?? ''] ?? networkError(system)
  return { state: forGood ? 'failed' : 'retry', error: `${word}${answered}` }
}
