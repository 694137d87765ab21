// Where each object of a repository lies below its prefix.
import { type Id, isId } from './id.ts'

export const configKey = 'config'

export type ObjectKind = 'keys' | 'data' | 'index' | 'snapshots' | 'locks'

/** The key of an object, relative to the repository. Packs are spread over 256 folders by their first byte. */
export function objectKey(kind: ObjectKind, id: Id): string {
  return kind === 'data' ? `data/${id.slice(0, 2)}/${id}` : `${kind}/${id}`
}

/** The listing prefix of a kind. */
export function prefixOf(kind: ObjectKind): string {
  return `${kind}/`
}

/** The id in a listed key: its last part, or undefined for what is no object of ours. restic ignores those too. */
export function idOfKey(key: string): Id | undefined {
  const name = key.slice(key.lastIndexOf('/') + 1)
  return isId(name) ? name : undefined
}
