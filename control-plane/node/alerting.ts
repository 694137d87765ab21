// Who is told, and how: the queue's consumers and the ways out, put together.
import { lookup } from 'node:dns/promises'
import { type Instant, MINUTE, SECOND } from '../../shared/clock.ts'
import type { Database } from '../adapters/libsql/client.ts'
import { createQueue } from '../adapters/libsql/queue.ts'
import { createAlertsStore } from '../adapters/libsql/store/alerts.ts'
import { createSilenceStore } from '../adapters/libsql/store/silence.ts'
import { createAddressCheck } from '../adapters/notify/address-check.ts'
import { createEmailNotifier } from '../adapters/notify/email.ts'
import { createPinnedPost } from '../adapters/notify/pinned-post.ts'
import { createSlackNotifier } from '../adapters/notify/slack.ts'
import { createWebhookNotifier } from '../adapters/notify/webhook.ts'
import { createAlertChannels } from '../core/alert-channels.ts'
import { createAlerts } from '../core/alerts.ts'
import type { Basics } from '../core/deps.ts'
import { createSilentHosts } from '../core/silent-hosts.ts'
import type { SecretBox } from '../ports/secret-box.ts'
import type { Task } from './timers.ts'

/** Pause between looks into the queue; an alert waits no longer than this. */
const LOOK_EVERY = 2 * SECOND

export function createAlerting(
  deps: Basics & {
    readonly database: Database
    readonly box: SecretBox
    /** Address ranges that alerts may reach beside the public Internet. */
    readonly webhookAllow: readonly string[]
    /** When this process began to listen: no host is blamed for silence before it. */
    readonly startedAt: Instant
    readonly fault: (error: Error) => void
  },
) {
  const { clock, random, database, box, fault } = deps
  const basics = { clock, random }
  const check = createAddressCheck({
    allow: deps.webhookAllow,
    lookup: (name) => lookup(name, { all: true }),
  })
  const post = createPinnedPost({ check })
  const store = createAlertsStore(database)
  const alerts = createAlerts({
    ...basics,
    store,
    queue: createQueue(database, basics),
    secretBox: box,
    notifiers: {
      webhook: createWebhookNotifier({ post, clock }),
      slack: createSlackNotifier({ post }),
      email: createEmailNotifier(),
    },
    fault,
  })
  const alertChannels = createAlertChannels({
    ...basics,
    store,
    secretBox: box,
    refusedUrl: check.refusedUrl,
  })
  const silentHosts = createSilentHosts({ ...basics, store: createSilenceStore(database) })

  const tasks: Task[] = [
    {
      name: 'alerts',
      every: LOOK_EVERY,
      async run() {
        while ((await alerts.step()) > 0);
      },
    },
    { name: 'silent hosts', every: MINUTE, run: () => silentHosts.check(deps.startedAt) },
  ]
  return { alerts, alertChannels, tasks }
}
