// Ids of objects under a prefix of a vault, page by page.
import type { Objects } from '../ports/objects.ts'

/** Objects of one page. */
const PAGE = 1_000
const ID = /^[0-9a-f]{64}$/

export interface ListedId {
  readonly id: string
  readonly bytes: number
  readonly modifiedAt: number
}

/** One store call per thousand objects. What is not named by a hash is left out. */
export async function* idsUnder(objects: Objects, prefix: string): AsyncGenerator<ListedId> {
  let cursor: string | undefined
  do {
    const page = await objects.list(prefix, {
      limit: PAGE,
      ...(cursor === undefined ? {} : { cursor }),
    })
    for (const { key, bytes, modifiedAt } of page.objects) {
      const id = key.slice(key.lastIndexOf('/') + 1)
      if (ID.test(id)) yield { id, bytes, modifiedAt }
    }
    cursor = page.next
  } while (cursor !== undefined)
}
