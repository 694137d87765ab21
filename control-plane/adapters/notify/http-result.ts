// What a receiver's answer means for the delivery.
import type { NotifierResult } from '../../ports/notifier.ts'
import type { PostResult } from './pinned-post.ts'

/**
 * Any 2xx is success. 410 says "never again" (Standard Webhooks). Everything else, redirects and other 4xx
 * included, is tried again within the day: receivers are misconfigured for a while and then repaired.
 */
export function resultOf(posted: PostResult): NotifierResult {
  if (posted.kind === 'refused') return { state: 'failed', error: `not sent: ${posted.error}` }
  if (posted.kind === 'failed') return { state: 'retry', error: posted.error }
  const { status } = posted
  if (status >= 200 && status < 300) return { state: 'delivered' }
  if (status === 410) return { state: 'gone', error: 'it answered 410: it wants no more alerts' }
  if (status >= 300 && status < 400) {
    return { state: 'retry', error: `it answered ${status}; redirects are not followed` }
  }
  return { state: 'retry', error: `it answered ${status}` }
}
