// A vault in memory that forgives nothing: immutable objects, URLs that bind bytes, faults in both forms.
import { createHash } from 'node:crypto'
import type { Objects } from '../../control-plane/ports/objects.ts'
import type { Clock } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'

/** `before`: failed and did not happen. `after`: failed but did happen. */
export type Fault = 'before' | 'after'

export interface StrictObjects extends Objects {
  readonly contents: Map<string, Uint8Array>
  /** What no implementation may ever be asked to do; a test ends by finding this empty. */
  readonly violations: string[]
  /** How often each operation was asked for. */
  readonly calls: Record<string, number>
  /** What a host does with a PUT URL: 200, 403 or 412 as a store would. */
  upload(url: string, bytes: Uint8Array): 200 | 400 | 403 | 412
  /** What a host does with a GET URL. */
  download(url: string): Uint8Array | undefined
  /** The next call of that operation fails, before or after it happened. */
  failNext(operation: 'put' | 'head' | 'list' | 'get' | 'remove', fault: Fault): void
  /** Forgets faults that were asked for and did not come. */
  calm(): void
  /** While set, everything fails. */
  away: boolean
  /** What a test allows to be removed, beside locks. */
  mayRemove: (key: string) => boolean
  /** When the store says an object was written, in ms; the beginning of time unless a test says otherwise. */
  readonly modified: Map<string, number>
}

export function createStrictObjects(clock: Clock): StrictObjects {
  const contents = new Map<string, Uint8Array>()
  const violations: string[] = []
  const calls: Record<string, number> = {}
  const faults = new Map<string, Fault[]>()

  async function asked<T>(operation: string, act: () => T): Promise<T> {
    calls[operation] = (calls[operation] ?? 0) + 1
    const fail = () => new HoldfastError('store-unavailable', `${operation}: a fault was asked for`)
    const fault = faults.get(operation)?.shift()
    if (objects.away || fault === 'before') throw fail()
    const result = act()
    if (fault === 'after') throw fail()
    return result
  }

  function write(key: string, bytes: Uint8Array): 'stored' | 'exists' {
    const old = contents.get(key)
    if (old === undefined) contents.set(key, bytes.slice())
    else if (Buffer.compare(old, bytes) !== 0) return 'exists'
    return 'stored'
  }

  const objects: StrictObjects = {
    contents,
    violations,
    calls,
    away: false,
    mayRemove: () => false,
    modified: new Map(),
    failNext: (operation, fault) => {
      faults.set(operation, [...(faults.get(operation) ?? []), fault])
    },
    calm: () => faults.clear(),
    needsMd5: false,
    signPut: ({ key, bytes, sha256, seconds }) =>
      asked('signPut', () => {
        if (bytes < 33 || !key.endsWith(sha256)) violations.push(`signed PUT of ${bytes} to ${key}`)
        const until = clock.now() + seconds * 1_000
        const url = `strict://put/${key}?bytes=${bytes}&sha256=${sha256}&until=${until}`
        return { url, headers: { 'content-length': String(bytes) } }
      }),
    signGet: ({ key, seconds }) =>
      asked('signGet', () => {
        const until = clock.now() + seconds * 1_000
        return { url: `strict://get/${key}?until=${until}`, headers: {} }
      }),
    upload(text, bytes) {
      const url = new URL(text)
      const key = url.pathname.slice(1)
      const pinned = Object.fromEntries(url.searchParams)
      if (url.host !== 'put' || Number(pinned.until) <= clock.now()) return 403
      if (Number(pinned.bytes) !== bytes.length) return 403
      if (createHash('sha256').update(bytes).digest('hex') !== pinned.sha256) return 400
      if (contents.has(key)) return 412
      contents.set(key, bytes.slice())
      return 200
    },
    download(text) {
      const url = new URL(text)
      const lapsed = Number(url.searchParams.get('until')) <= clock.now()
      return url.host !== 'get' || lapsed ? undefined : contents.get(url.pathname.slice(1))
    },
    head: (key) => asked('head', () => contents.get(key)?.length),
    list: (prefix, { cursor, limit }) =>
      asked('list', () => {
        if (limit < 1 || limit > 1_000) violations.push(`listed ${limit} at once`)
        const keys = [...contents.keys()]
          .filter((key) => key.startsWith(prefix) && key > (cursor ?? ''))
          .sort()
        const page = keys.slice(0, limit)
        const found = page.map((key) => ({
          key,
          bytes: contents.get(key)!.length,
          modifiedAt: objects.modified.get(key) ?? 0,
        }))
        return { objects: found, ...(keys.length > limit ? { next: page.at(-1)! } : {}) }
      }),
    get: (key, maxBytes) =>
      asked('get', () => {
        const bytes = contents.get(key)
        if (bytes !== undefined && bytes.length > maxBytes) {
          throw new HoldfastError('too-large', `${key} has ${bytes.length} bytes`)
        }
        return bytes?.slice()
      }),
    put: (key, bytes) => asked('put', () => write(key, bytes)),
    remove: (key) =>
      asked('remove', () => {
        if (!key.includes('/locks/') && !objects.mayRemove(key)) violations.push(`removed ${key}`)
        contents.delete(key)
      }),
    time: async () => clock.now(),
  }
  return objects
}
