import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDirectories, createDirectoryStore } from '../../agent/storage/directory.ts'
import { createMemoryStore } from '../../agent/storage/memory.ts'
import { withRetry } from '../../agent/storage/retry.ts'
import { storeConformance } from './object-store.ts'

storeConformance('in memory', async () => ({ store: createMemoryStore() }))

storeConformance('in a directory', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-store-'))
  const options = { directory, temporaryName: () => randomBytes(8).toString('hex') }
  await createDirectories(options)
  return {
    store: createDirectoryStore(options),
    close: () => rmSync(directory, { recursive: true }),
  }
})

storeConformance('that tries again', async () => ({
  store: withRetry(createMemoryStore(), {
    sleep: () => Promise.reject(new Error('nothing here is worth waiting for')),
    random: () => 0.5,
    now: () => 0,
  }),
  exceptions: {
    'says that a range goes beyond the end': 'a truncated range is asked for again, after a wait',
    'refuses bytes that are not the ones announced': 'a corrupt upload is repeated, after a wait',
  },
}))
