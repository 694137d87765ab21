// Ten million blobs, some 15 TB of data: opened in seconds, at 64 bytes each.
import { expect, test } from 'vitest'
import { openManyBlobs } from '../support/many-blobs.ts'

/** Seconds of CPU, because the machine of the tests is shared. Measured: 6.2 s, of which nobody minds three times as much. */
const patience = 20

test('ten million blobs are opened from the cache at 64 bytes each', async () => {
  const opened = await openManyBlobs(1e7)
  console.log('ten million blobs', opened)
  expect(opened.blobs).toBe(1e7)
  expect(opened.indexBytes / opened.blobs).toBeLessThanOrEqual(64)
  expect(opened.peak).toBeLessThanOrEqual(250e6 + 64 * opened.blobs)
  expect(opened.cpuSeconds).toBeLessThan(patience)
}, 300_000)
