import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { WantedGrant } from '../../shared/protocol/calls.ts'
import { systemClock, systemRandom } from '../../test/support/system-clock.ts'
import { dispatcherFor } from './dispatcher.ts'
import { createPresignedStore } from './presigned.ts'

describe('the way out', () => {
  it('is without TLS to this machine alone, whoever gave the URL', () => {
    for (const url of ['http://127.0.0.1:9000/x', 'http://[::1]/', 'ws://localhost/agent']) {
      expect(dispatcherFor(new URL(url), {}), url).toBeDefined()
    }
    for (const url of [
      'http://169.254.169.254/latest',
      'http://store.example/',
      'ws://10.0.0.1/',
    ]) {
      expect(() => dispatcherFor(new URL(url), {}), url).toThrow(
        'plain http is allowed to loopback alone',
      )
    }
    expect(dispatcherFor(new URL('https://store.example/'), {})).toBeDefined()
  })

  it('is not waited for: a grant for plain http ends the upload at once', async () => {
    const bytes = Buffer.from('a pack')
    const id = createHash('sha256').update(bytes).digest('hex')
    const headers = { 'Content-Length': String(bytes.length) }
    const store = createPresignedStore({
      grants: {
        grants: async ({ wanted }) =>
          wanted.map(({ method, id }: WantedGrant) => ({
            method,
            id,
            url: 'http://store.example/pack?X-Amz-Signature=CANARY',
            headers,
            seconds: 900,
          })),
        stored: async () => [],
      },
      agentFor: (url) => dispatcherFor(url, {}),
      clock: systemClock,
      random: systemRandom,
      signal: new AbortController().signal,
      mayBegin: async () => {},
    })
    const key = `data/${id.slice(0, 2)}/${id}`
    const failed = await store.put(key, id, bytes).catch((error: unknown) => error)
    expect(failed).toMatchObject({ code: 'denied' })
    expect(String(failed)).not.toContain('CANARY')
    await expect(store.get(key)).rejects.toMatchObject({ code: 'denied' })
  })
})
