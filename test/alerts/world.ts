// Alerts on a real database and queue, with a clock that is moved by hand and receivers that remember.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { recordTrace } from '../../control-plane/adapters/libsql/change.ts'
import { type Database, openDatabase } from '../../control-plane/adapters/libsql/client.ts'
import { createQueue } from '../../control-plane/adapters/libsql/queue.ts'
import { createAlertsStore } from '../../control-plane/adapters/libsql/store/alerts.ts'
import type { Identity } from '../../control-plane/core/access.ts'
import { createAlertChannels } from '../../control-plane/core/alert-channels.ts'
import { alertMessage } from '../../control-plane/core/alert-message.ts'
import { createAlerts } from '../../control-plane/core/alerts.ts'
import { newEvent } from '../../control-plane/core/event.ts'
import { createSecretBox } from '../../control-plane/core/secret-box.ts'
import type { NotifierResult, NotifierTarget } from '../../control-plane/ports/notifier.ts'
import type { AlertsStore } from '../../control-plane/ports/store/alerts.ts'
import type { Alert, AlertType } from '../../shared/alert/alert.ts'
import { newChannel } from '../../shared/alert/channel.ts'
import { createMemoryClock, createSeededRandom, type MemoryClock } from '../support/memory-clock.ts'

export const admin: Identity = { token: '0123456789abcdef', name: 'admin', role: 'admin' }

/** In every secret of a channel: it must turn up nowhere but at the receiver. */
export const CANARY = 'canary-9f8e7d6c'

export const hook = (name: string, change: object = {}) =>
  newChannel.parse({ kind: 'webhook', name, url: `https://hooks.example.com/${CANARY}`, ...change })

export type AlertWorld = Awaited<ReturnType<typeof openAlertWorld>>

export async function openAlertWorld() {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-alerts-'))
  const database = await openDatabase({ url: `file:${join(directory, 'a.db')}` })
  const clock = createMemoryClock()
  const service = await createService(database, clock)
  return {
    ...{ directory, database, clock, ...service },
    /** A second process on the same database, with a store that may break. */
    again: (meddle: (store: AlertsStore) => AlertsStore) => createService(database, clock, meddle),
    all: async () => (await service.alerts.deliveries({ limit: 100 })).items,
    async actions() {
      const { rows } = await database.read('SELECT action FROM audit ORDER BY seq')
      return rows.map(({ action }) => action)
    },
    close() {
      database.close()
      rmSync(directory, { recursive: true })
    },
  }
}

async function createService(
  database: Database,
  clock: MemoryClock,
  meddle: (store: AlertsStore) => AlertsStore = (store) => store,
) {
  const random = createSeededRandom(meddle.toString())
  const sent: { at: number; id: string; alert: Alert; target: NotifierTarget }[] = []
  const faults: Error[] = []
  const answers = { next: (): NotifierResult => ({ state: 'delivered' }) }
  const notifier = {
    async send(target: NotifierTarget, alert: Alert, id: string) {
      sent.push({ at: clock.now(), id, alert, target })
      return answers.next()
    },
  }
  const basics = { clock, random }
  const store = meddle(createAlertsStore(database))
  const secretBox = await createSecretBox({
    masterKeys: [new Uint8Array(32).fill(7)],
    random: { bytes: (length) => new Uint8Array(randomBytes(length)) },
  })
  const channels = createAlertChannels({ ...basics, store, secretBox, refusedUrl: () => undefined })
  const alerts = createAlerts({
    ...basics,
    store,
    queue: createQueue(database, basics),
    secretBox,
    notifiers: { webhook: notifier, slack: notifier, email: notifier },
    fault: (error) => faults.push(error),
  })
  return {
    ...{ alerts, channels, store, sent, faults, answers, basics },
    /** As any change raises one: in the batch of its own event. */
    raise(type: AlertType, message = 'Something happened.', facts: Partial<Alert> = {}) {
      const event = newEvent(basics, {
        actor: 'system',
        action: 'job.finished',
        target: 'job:x',
        outcome: 'failed',
        details: {},
      })
      const raised = alertMessage(basics, type, { hostname: 'web-1', message, ...facts })
      return recordTrace(database, { events: [event], messages: [raised] })
    },
    async settle() {
      while ((await alerts.step()) > 0);
    },
  }
}
