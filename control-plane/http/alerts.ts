import { createRoute, z } from '@hono/zod-openapi'
import { alert, level } from '../../shared/alert/alert.ts'
import { channelSettings, deliveryState, newChannel } from '../../shared/alert/channel.ts'
import { id, plainName } from '../../shared/ids.ts'
import type { AlertChannels } from '../core/alert-channels.ts'
import type { Alerts } from '../core/alerts.ts'
import type { Channel, Delivery } from '../ports/store/alerts.ts'
import { createRoutes } from './room.ts'
import {
  at,
  atOrNull,
  body,
  DEFAULT_PAGE,
  json,
  limitQuery,
  nextCursor,
  problems,
  time,
} from './shapes.ts'

const channel = z.object({
  id: z.string(),
  name: z.string(),
  settings: channelSettings.describe(
    'What is not secret of it; URLs are shown by their host alone',
  ),
  minimumLevel: level,
  createdAt: time,
  disabledAt: time.nullable(),
  disabledWhy: z.string().nullable(),
})
const delivery = z.object({
  id: z.string().describe('The `webhook-id` or Message-ID of every attempt'),
  alert,
  channel: z.string().describe('Name of the channel, which may be deleted since'),
  state: deliveryState,
  attempts: z.int(),
  nextAt: time.nullable().describe('When it is tried next'),
  lastError: z.string().nullable(),
  deliveredAt: time.nullable(),
  createdAt: time,
})

const params = z.object({ name: plainName })

const list = createRoute({
  method: 'get',
  path: '/alert-channels',
  summary: 'Alert channels',
  responses: { ...problems, 200: json(z.object({ items: z.array(channel) }), 'By name') },
})
const create = createRoute({
  method: 'post',
  path: '/alert-channels',
  summary: 'Make an alert channel: webhook, Slack or email',
  request: { body: body(newChannel) },
  responses: {
    ...problems,
    201: json(
      channel.extend({
        secret: z
          .string()
          .optional()
          .describe("A webhook's signing secret, if it was made here; it is shown this once"),
      }),
      'The channel',
    ),
  },
})
const remove = createRoute({
  method: 'delete',
  path: '/alert-channels/{name}',
  summary: 'Delete an alert channel; what is still pending for it fails',
  request: { params },
  responses: { ...problems, 204: { description: 'It is deleted' } },
})
const test = createRoute({
  method: 'post',
  path: '/alert-channels/{name}/test',
  summary: 'Send a test alert to this channel, and see the delivery in the list',
  request: { params },
  responses: { ...problems, 202: json(delivery, 'The delivery, pending') },
})
const deliveries = createRoute({
  method: 'get',
  path: '/alert-deliveries',
  summary: 'Every delivery of every alert, with its attempts and last error',
  request: {
    query: z.object({
      state: deliveryState.optional(),
      channel: plainName.optional(),
      alert: id.optional(),
      host: z.string().max(255).optional().describe('Name of the host the alert is about'),
      cursor: id.optional().describe('`next` of the page before'),
      limit: limitQuery.optional(),
    }),
  },
  responses: {
    ...problems,
    200: json(z.object({ items: z.array(delivery), next: nextCursor }), 'Newest first'),
  },
})

export function createAlertRoutes(deps: { alertChannels: AlertChannels; alerts: Alerts }) {
  const { alertChannels, alerts } = deps
  return createRoutes()
    .openapi(list, async (c) =>
      c.json({ items: (await alertChannels.list()).map(shownChannel) }, 200),
    )
    .openapi(create, async (c) => {
      const made = await alertChannels.create(c.req.valid('json'), c.get('identity'))
      const secret = made.secret === undefined ? {} : { secret: made.secret }
      return c.json({ ...shownChannel(made.channel), ...secret }, 201)
    })
    .openapi(remove, async (c) => {
      await alertChannels.remove(c.req.valid('param').name, c.get('identity'))
      return c.body(null, 204)
    })
    .openapi(test, async (c) => {
      const sent = await alertChannels.test(c.req.valid('param').name, c.get('identity'))
      return c.json(shownDelivery(sent), 202)
    })
    .openapi(deliveries, async (c) => {
      const { cursor, limit, ...filter } = c.req.valid('query')
      const page = await alerts.deliveries({
        ...filter,
        after: cursor,
        limit: limit ?? DEFAULT_PAGE,
      })
      return c.json({ items: page.items.map(shownDelivery), next: page.next }, 200)
    })
}

function shownChannel(one: Channel) {
  return {
    id: one.id,
    name: one.name,
    settings: one.settings,
    minimumLevel: one.minimumLevel,
    createdAt: at(one.createdAt),
    disabledAt: atOrNull(one.disabledAt),
    disabledWhy: one.disabledWhy,
  }
}

function shownDelivery(one: Delivery) {
  return {
    id: one.id,
    alert: one.alert,
    channel: one.channelName,
    state: one.state,
    attempts: one.attempts,
    nextAt: atOrNull(one.nextAt),
    lastError: one.lastError,
    deliveredAt: atOrNull(one.deliveredAt),
    createdAt: at(one.createdAt),
  }
}
