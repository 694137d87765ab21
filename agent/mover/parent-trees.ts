// The bytes of the parent snapshot's trees.
import { RepositoryError } from '../repository/errors.ts'
import type { Id } from '../repository/id.ts'
import type { RepositoryReader } from '../repository/reader.ts'
import { StorageError } from '../storage/object-store.ts'

/** The bytes of a tree; undefined for one that is damaged, gone or refused: the parent is then no help. */
export async function treeTextOrUndefined(
  reader: RepositoryReader,
  id: Id,
): Promise<Buffer | undefined> {
  try {
    return await reader.loadBlob('tree', id)
  } catch (error) {
    if (error instanceof RepositoryError) return undefined
    if (error instanceof StorageError && ['absent', 'denied'].includes(error.code)) return undefined
    throw error
  }
}
