// A repository is made: absent → initialising → ready, each step safe to repeat.
import * as z from 'zod'
import { fromBase64, sha256Hex } from '../../shared/bytes.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { initialiseRequest } from '../../shared/protocol/calls.ts'
import { MAX_KEY_FILE, MAX_KEY_FILES, MAX_SMALL_OBJECT } from '../../shared/protocol/calls.ts'
import { configKey, escrowKey, repositoryPrefix, smallKey } from '../../shared/vault/layout.ts'
import type { AlarmsStore } from '../ports/store/alarms.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RepositoriesStore, RepositoryState } from '../ports/store/repositories.ts'
import type { Asker, Attempts, OwnedAttempt } from './attempts.ts'
import type { Basics } from './deps.ts'
import { eachInTurn } from './each-in-turn.ts'
import { newEvent } from './event.ts'
import { conflictTrace } from './store-view.ts'
import type { OpenVault } from './vault-access.ts'

/** The smallest sealed config: initialisation vector, authenticator, and an empty object. */
const MIN_CONFIG = 34

const base64 = z.string().regex(/^[A-Za-z0-9+/]+={0,2}$/)
/** A restic key file (restic, doc/design.rst, "Keys, Encryption and MAC"). */
const keyFile = z.object({
  created: z.string(),
  username: z.string(),
  hostname: z.string(),
  kdf: z.literal('scrypt'),
  N: z.int().min(2),
  r: z.int().min(1),
  p: z.int().min(1),
  salt: base64,
  data: base64,
})

export interface InitialiseDeps extends Basics {
  readonly attempts: Attempts
  readonly repositories: RepositoriesStore
  readonly hosts: Pick<HostsStore, 'find'>
  readonly alarms: AlarmsStore
  readonly openVault: OpenVault
}

export function createInitialise(deps: InitialiseDeps) {
  const { attempts, repositories, hosts, alarms, openVault, clock } = deps

  /** Stock restic gives up on a repository with a key file it cannot parse: none gets in. */
  function checkKey(bytes: Uint8Array, at: number): void {
    const wrong = (what: string) => new HoldfastError('invalid', `keys.${at}: ${what}`)
    if (bytes.length > MAX_KEY_FILE) throw wrong(`${bytes.length} bytes; at most ${MAX_KEY_FILE}`)
    let value: unknown
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    } catch {
      throw wrong('is not JSON')
    }
    if (!keyFile.safeParse(value).success) throw wrong('is not a restic key file')
  }

  async function initialise(
    asker: Asker,
    request: z.infer<typeof initialiseRequest>,
  ): Promise<void> {
    const owned = await attempts.leased(asker, request)
    const { job, repository } = owned
    if (job.kind !== 'init') {
      throw new HoldfastError('forbidden', `a job of kind ${job.kind} makes no repository`)
    }
    const config = fromBase64(request.config)
    if (config.length < MIN_CONFIG) {
      throw new HoldfastError('invalid', `config: ${config.length} bytes are no sealed config`)
    }
    const keys = request.keys.map((text) => fromBase64(text))
    keys.forEach(checkKey)
    if (new Set(request.keys).size !== keys.length) {
      throw new HoldfastError('invalid', 'keys: the same key file twice')
    }
    const host = await hosts.find(asker.host)
    const pinned = host?.recoveryRecipient ?? request.escrow.recipient
    if (pinned !== request.escrow.recipient) {
      throw new HoldfastError(
        'forbidden',
        'escrow.recipient: is not the recovery recipient this host enrolled with',
      )
    }
    const configSha256 = await sha256Hex(config)
    if (job.parameters.kind === 'init' && job.parameters.adopt !== undefined) {
      await adopt(asker, owned, job.parameters.adopt, request, configSha256)
    } else if (repository.state === 'absent') {
      await begin(asker, repository, request, configSha256)
    }
    // From here on everything that will be written lies in the database: a restart finishes it.
    const now = await repositories.find(repository.id)
    if (now?.configSha256 !== configSha256) {
      const hostname = host?.name ?? asker.host
      const key = configKey(repository.id)
      const saw = 'a second config for a repository that has one'
      await alarms.raise(conflictTrace(deps, { host: asker.host, hostname, job: job.id, key, saw }))
      throw new HoldfastError('exists', 'the repository was made with another config', {
        hint: 'its keys are the ones stored first; the next job uses them',
      })
    }
    await finish(now)
  }

  /** Moves the repository of the host to the place of one that is there. A repeat changes nothing. */
  async function adopt(
    asker: Asker,
    { repository, vault }: OwnedAttempt,
    wanted: { readonly vault: string; readonly place: string },
    request: z.infer<typeof initialiseRequest>,
    configSha256: string,
  ): Promise<void> {
    const isThere = (one: RepositoryState | undefined) =>
      one?.vault === wanted.vault && one.place === wanted.place
    if (isThere(repository)) return
    const { objects } = vault
    const config = await objects.get(configKey(repository.id), MAX_SMALL_OBJECT)
    if (config === undefined || (await sha256Hex(config)) !== configSha256) {
      throw new HoldfastError('conflict', 'config: is not the one that lies at that place')
    }
    const { objects: keys } = await objects.list(`${repositoryPrefix(repository.id)}keys/`, {
      limit: MAX_KEY_FILES,
    })
    if (keys.length + request.keys.length > MAX_KEY_FILES) {
      throw new HoldfastError(
        'conflict',
        `${keys.length} key files are there; at most ${MAX_KEY_FILES} may be in all`,
      )
    }
    const before = await repositories.escrows(repository.id)
    const event = newEvent(deps, {
      actor: `host:${asker.host}`,
      action: 'repository.adopting',
      target: `repository:${repository.id}`,
      outcome: 'ok',
      host: asker.host,
      job: request.job,
      details: {
        ...wanted,
        config: configSha256,
        keysThere: keys.length,
        keys: request.keys.length,
        escrowRecipient: request.escrow.recipient,
      },
    })
    const adopted = await repositories.adopt(
      repository.id,
      wanted,
      { config: request.config, keys: request.keys, configSha256 },
      { n: Math.max(0, ...before.map(({ n }) => n)) + 1, ...request.escrow },
      clock.now(),
      { events: [event] },
    )
    if (adopted || isThere(await repositories.find(repository.id))) return
    throw new HoldfastError(
      'conflict',
      'another host has the repository at that place, or this host has backups of its own by now',
    )
  }

  async function begin(
    asker: Asker,
    repository: RepositoryState,
    request: z.infer<typeof initialiseRequest>,
    configSha256: string,
  ): Promise<void> {
    const event = newEvent(deps, {
      actor: `host:${asker.host}`,
      action: 'repository.initialising',
      target: `repository:${repository.id}`,
      outcome: 'ok',
      host: asker.host,
      job: request.job,
      details: {
        config: configSha256,
        keys: request.keys.length,
        escrowRecipient: request.escrow.recipient,
      },
    })
    await repositories.begin(
      repository.id,
      { config: request.config, keys: request.keys, configSha256 },
      { n: 1, ...request.escrow },
      clock.now(),
      { events: [event] },
    )
  }

  /** Writes what `begin` stored: keys and escrow first, the config last, because it makes the repository. */
  async function finish(repository: RepositoryState): Promise<void> {
    const { id, initial } = repository
    if (repository.state !== 'initialising' || initial === null) return
    const { objects } = await openVault(repository.vault)
    const put = async (key: string, bytes: Uint8Array) => {
      if ((await objects.put(key, bytes)) === 'stored') return
      const hostname = (await hosts.find(repository.host))?.name ?? repository.host
      const saw = 'other bytes than those to be written'
      await alarms.raise(conflictTrace(deps, { host: repository.host, hostname, key, saw }))
      throw new HoldfastError('exists', `the vault holds other bytes under ${key}`)
    }
    for (const text of initial.keys) {
      const bytes = fromBase64(text)
      await put(smallKey(id, 'key', await sha256Hex(bytes)), bytes)
    }
    for (const { n, sealed } of await repositories.escrows(id)) {
      await put(escrowKey(id, n), fromBase64(sealed))
    }
    await put(configKey(id), fromBase64(initial.config))
    const event = newEvent(deps, {
      actor: 'system',
      action: 'repository.ready',
      target: `repository:${id}`,
      outcome: 'ok',
      host: repository.host,
      details: { config: repository.configSha256 },
    })
    // False: another call was faster with the same bytes.
    await repositories.ready(id, clock.now(), { events: [event] })
  }

  return {
    initialise,

    /** Finishes what a restart interrupted. For a timer, about once a minute. */
    async sweep(): Promise<number> {
      const unfinished = await repositories.initialising()
      await eachInTurn(unfinished, finish)
      return unfinished.length
    },
  }
}
export type Initialise = ReturnType<typeof createInitialise>
