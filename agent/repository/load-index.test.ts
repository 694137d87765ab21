import { expect, test } from 'vitest'
import { openManyBlobs } from '../../test/support/many-blobs.ts'

test('a million blobs are opened from the cache at 64 bytes each, within the memory of a mover', async () => {
  const opened = await openManyBlobs(1e6)
  expect(opened.blobs).toBe(1e6)
  expect(opened.indexBytes / opened.blobs).toBeLessThanOrEqual(64)
  expect(opened.peak).toBeLessThanOrEqual(250e6 + 64 * opened.blobs)
}, 60_000)
