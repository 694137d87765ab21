// The generic webhook: the alert as JSON, signed as Standard Webhooks has it.
import { createHmac } from 'node:crypto'
import { alertText } from '../../../shared/alert/text.ts'
import type { Clock } from '../../../shared/clock.ts'
import type { Notifier } from '../../ports/notifier.ts'
import { resultOf } from './http-result.ts'
import type { PinnedPost } from './pinned-post.ts'

export function createWebhookNotifier(deps: { post: PinnedPost; clock: Clock }): Notifier {
  return {
    async send({ secret }, alert, messageId) {
      if (secret.url === undefined || secret.secret === undefined) {
        return { state: 'failed', error: 'the channel has lost its URL or secret' }
      }
      const body = JSON.stringify({ ...alert, text: alertText(alert) })
      const timestamp = Math.floor(deps.clock.now() / 1_000)
      const headers = {
        'content-type': 'application/json',
        'user-agent': 'holdfast',
        'webhook-id': messageId,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': `v1,${sign(secret.secret, `${messageId}.${timestamp}.${body}`)}`,
      }
      return resultOf(await deps.post(secret.url, headers, body))
    },
  }
}

/** HMAC-SHA-256 under the decoded part of `whsec_…`, base64. */
function sign(secret: string, text: string): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  return createHmac('sha256', key).update(text).digest('base64')
}
