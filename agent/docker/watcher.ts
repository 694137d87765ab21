// Keeps the inventory fresh: after every burst of events, after each reconnect, and every ten minutes anyway.
import { createHash } from 'node:crypto'
import type { Inventory } from '../../shared/backup/inventory.ts'
import { type Clock, type Duration, MINUTE, SECOND } from '../../shared/clock.ts'
import type { Log } from '../log/log.ts'
import { describeError } from '../log/scrub.ts'
import { describeDirectories, takeInventory } from './discovery.ts'
import type { Engine } from './engine.ts'

/** Events come in bursts (a Compose project starting): one look after the burst is enough. */
const SETTLE: Duration = 2 * SECOND
/** Events are lost when the engine restarts, and some drivers send none. */
const LOOK_EVERY: Duration = 10 * MINUTE
/** Between two tries to reach an engine that does not answer. */
const RETRY: Duration = 10 * SECOND

/** Events that change what the inventory says. */
const telling = new Set([
  'create',
  'destroy',
  'start',
  'die',
  'stop',
  'pause',
  'unpause',
  'rename',
  'update',
])

export interface Watcher {
  /** Watch until `signal` is aborted. */
  run(signal: AbortSignal): Promise<void>
  /** Look now, and report even if nothing changed. */
  refresh(): void
  /** The engine, while it answers. */
  readonly engine: Engine | undefined
  /** Resolves once it is known whether an engine answers. */
  readonly looked: Promise<void>
}

/** A hash of everything in an inventory but the moment it was taken. */
function contentOf(inventory: Inventory): string {
  return createHash('sha256')
    .update(JSON.stringify({ ...inventory, at: '' }))
    .digest('base64')
}

export function createWatcher(deps: {
  connect: () => Promise<Engine>
  directories: () => readonly string[]
  clock: Clock
  log: Log
  onInventory: (inventory: Inventory) => void
  onEngineLost: (why: string) => void
  onEngineBack: () => void
  /** The engine answered for the first time, or again. */
  onEngine: (engine: Engine) => void
}): Watcher {
  const { clock, log } = deps
  let engine: Engine | undefined
  let lost = false
  let reported: string | undefined
  let wake = () => {}
  let asked = false
  let hasLooked = () => {}
  const looked = new Promise<void>((resolve) => {
    hasLooked = resolve
  })

  function report(inventory: Inventory): void {
    const content = contentOf(inventory)
    if (content === reported && !asked) return
    reported = content
    asked = false
    deps.onInventory(inventory)
  }

  /** Look whenever something happened, until the stream of events ends. */
  async function follow(found: Engine, signal: AbortSignal): Promise<void> {
    const ended = new AbortController()
    const either = AbortSignal.any([signal, ended.signal])
    let dirty = true
    const stream = found
      .watch(either, (event) => {
        if (!telling.has(event.action)) return
        dirty = true
        wake()
      })
      .finally(() => ended.abort(new Error('the stream of events ended')))
    stream.catch(() => {}) // its end is seen through the signal; looking tells what is wrong
    while (!either.aborted) {
      if (dirty || asked) {
        dirty = false
        report(await takeInventory(found, () => clock.now(), deps.directories()))
      }
      const woken = new Promise<void>((resolve) => {
        wake = resolve
      })
      if (dirty || asked) continue
      const stop = new AbortController()
      const idle = clock.sleep(LOOK_EVERY, AbortSignal.any([either, stop.signal])).then(
        () => {
          dirty = true
        },
        () => {},
      )
      await Promise.race([woken, idle])
      stop.abort()
      if (!asked) await clock.sleep(SETTLE, either).catch(() => {})
    }
  }

  return {
    get engine() {
      return engine
    },
    looked,
    refresh() {
      asked = true
      wake()
    },
    async run(signal) {
      while (!signal.aborted) {
        try {
          const found = await deps.connect()
          await found.info()
          engine = found
          if (lost) deps.onEngineBack()
          lost = false
          deps.onEngine(found)
          hasLooked()
          await follow(found, signal)
          // The stream ended while the engine answered: it restarts, so do not look in a tight circle.
          await clock.sleep(SETTLE, signal)
        } catch (error) {
          if (signal.aborted) return
          hasLooked()
          if (engine !== undefined && !lost) {
            lost = true
            deps.onEngineLost(describeError(error))
          }
          if (engine === undefined && (reported === undefined || asked)) {
            log.info('no Docker Engine answers; only directories can be backed up', {
              error: describeError(error),
            })
            report(describeDirectories(clock.now(), deps.directories()))
          }
          const stop = new AbortController()
          const woken = new Promise<void>((resolve) => {
            wake = resolve
          })
          const slept = clock.sleep(RETRY, AbortSignal.any([signal, stop.signal])).catch(() => {})
          await Promise.race([slept, woken])
          stop.abort()
        }
      }
    },
  }
}
