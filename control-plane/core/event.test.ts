import { describe, expect, it } from 'vitest'
import { alertMessage } from './alert-message.ts'
import { newEvent } from './event.ts'

const basics = {
  clock: { now: () => 0, monotonic: () => 0, sleep: async () => {} },
  random: { bytes: (length: number) => new Uint8Array(length) },
}
/** The longest path there is, with the prefix of a source. */
const source = `directory:/${'x'.repeat(4_095)}`

describe('what is said of a source with the longest path', () => {
  it('is cut in an event, so that no path keeps a change from happening', () => {
    const event = newEvent(basics, {
      actor: 'system',
      action: 'job.queued',
      target: 'job:1',
      outcome: 'ok',
      details: { kind: 'backup', source, files: 1, policy: null },
    })
    expect(event.details).toEqual({
      kind: 'backup',
      source: source.slice(0, 4_096),
      files: 1,
      policy: null,
    })
  })

  it('is cut in an alert, which is sent all the same', () => {
    const message = `Backup of ${source} failed.`
    const { body } = alertMessage(basics, 'job-failed', { hostname: 'web-1', message, source })
    expect(JSON.parse(body)).toMatchObject({ source, message: message.slice(0, 2_000) })
  })
})
