// Slack's incoming webhook, and whatever speaks its language.
import { alertText } from '../../../shared/alert/text.ts'
import type { Notifier } from '../../ports/notifier.ts'
import { resultOf } from './http-result.ts'
import type { PinnedPost } from './pinned-post.ts'

export function createSlackNotifier(deps: { post: PinnedPost }): Notifier {
  return {
    async send({ secret }, alert) {
      if (secret.url === undefined) {
        return { state: 'failed', error: 'the channel has lost its URL' }
      }
      const headers = { 'content-type': 'application/json', 'user-agent': 'holdfast' }
      const posted = await deps.post(
        secret.url,
        headers,
        JSON.stringify({ text: alertText(alert) }),
      )
      return resultOf(posted)
    },
  }
}
