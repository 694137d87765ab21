// A control plane without a network: what a mover asks is answered from a repository in a directory, in its own process.
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AskAnswer, AskName, AskRequest } from '../../agent/ipc/messages.ts'
import type { Plane } from '../../agent/mover/plane.ts'
import { Refusal } from '../../agent/mover/refusal.ts'
import { idOfKey } from '../../agent/repository/layout.ts'
import { type ObjectStore, StorageError } from '../../agent/storage/object-store.ts'
import { fromBase64, toBase64 } from '../../shared/bytes.ts'

/** The pause between storing a lock and looking for others: ours and restic's are the same. In ms. */
const LOCK_PAUSE = 200

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const prefixes = {
  index: 'index/',
  keys: 'keys/',
  snapshots: 'snapshots/',
  packs: 'data/',
} as const

type Answers = { [N in AskName]?: (body: AskRequest<N>) => Promise<AskAnswer<N>> }

/** `onSnapshot` hears the id of each snapshot that was made. */
export function createLocalPlane(store: ObjectStore, onSnapshot: (id: string) => void): Plane {
  const list = async (prefix: string) => {
    const objects: { id: string; bytes: number }[] = []
    for await (const { key, bytes } of store.list(prefix)) {
      const id = idOfKey(key)
      if (id !== undefined) objects.push({ id, bytes })
    }
    return objects
  }
  const putSmall = (key: string, text: string) => {
    const bytes = fromBase64(text)
    return store.put(key, sha256(bytes), bytes)
  }

  const answers: Answers = {
    async listing({ what }) {
      return { objects: await list(prefixes[what as keyof typeof prefixes]), epoch: 0 }
    },
    async read({ what, id }) {
      const bytes = await store.get(what === 'config' ? 'config' : `${what}s/${id}`)
      return { bytes: toBase64(bytes) }
    },
    async lock({ id, bytes, replaces }) {
      await putSmall(`locks/${id}`, bytes)
      await sleep(LOCK_PAUSE)
      if (replaces !== undefined) await store.remove(`locks/${replaces}`)
      const others = []
      for (const lock of await list('locks/')) {
        if (lock.id === id) continue
        others.push({ id: lock.id, bytes: toBase64(await store.get(`locks/${lock.id}`)) })
      }
      return { others }
    },
    async unlock({ id }) {
      await store.remove(`locks/${id}`)
      return {}
    },
    async initialise({ config, keys }) {
      for (const key of keys) await putSmall(`keys/${sha256(fromBase64(key))}`, key)
      await putSmall('config', config)
      return {}
    },
    async commit({ receipt, bytes }) {
      await putSmall(`snapshots/${receipt.snapshot}`, bytes)
      onSnapshot(receipt.snapshot)
      return { state: 'accepted' }
    },
  }

  return {
    async ask(name, body, { signal }) {
      signal.throwIfAborted()
      const answer = answers[name] as
        | ((body: unknown) => Promise<AskAnswer<typeof name>>)
        | undefined
      if (answer === undefined) {
        throw new Refusal(name, 'invalid', `nobody answers ${name} here`, false)
      }
      try {
        return await answer(body)
      } catch (error) {
        if (error instanceof StorageError && error.code === 'absent') {
          throw new Refusal(name, 'not-found', error.message, false)
        }
        throw error
      }
    },
  }
}
