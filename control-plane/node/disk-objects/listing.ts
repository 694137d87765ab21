// A folder's objects in key order, as an S3 listing has them.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ListedObject } from '../../ports/objects.ts'

/**
 * Yields the objects under `prefix` (empty, or ending in a slash) whose keys come after `cursor`, in
 * byte order of their keys. What vanishes meanwhile is left out. Names that begin with a dot are ours
 * alone and are not objects.
 */
export async function* listObjects(
  root: string,
  prefix: string,
  cursor: string,
): AsyncGenerator<ListedObject> {
  let entries: { readonly key: string; readonly folder: boolean }[]
  try {
    const found = await readdir(join(root, prefix), { withFileTypes: true })
    entries = found
      .filter((entry) => !entry.name.startsWith('.'))
      .map((entry) => ({
        key: prefix + entry.name + (entry.isDirectory() ? '/' : ''),
        folder: entry.isDirectory(),
      }))
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ENOENT' || code === 'ENOTDIR') return
    throw error
  }
  entries.sort((a, b) => (a.key < b.key ? -1 : 1))
  for (const { key, folder } of entries) {
    if (folder) {
      // Everything in it begins with its key: skip it when all of that lies before the cursor.
      if (cursor > key && !cursor.startsWith(key)) continue
      yield* listObjects(root, key, cursor)
      continue
    }
    if (key <= cursor) continue
    const facts = await stat(join(root, key)).catch((error: { code?: string }) => {
      if (error.code !== 'ENOENT') throw error
      return undefined
    })
    if (facts?.isFile()) yield { key, bytes: facts.size, modifiedAt: Math.floor(facts.mtimeMs) }
  }
}
