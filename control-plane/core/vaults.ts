// Vaults: added only when they work, probed, opened for whoever signs or writes.
import { utf8 } from '../../shared/bytes.ts'
import { canonicalJson } from '../../shared/canonical-json.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import { vaultMarkerKey } from '../../shared/vault/layout.ts'
import type { Places } from '../../shared/vault/places.ts'
import {
  type NewVault,
  type VaultCapabilities,
  type VaultCredentials,
  type VaultPlace,
  vaultCredentials,
} from '../../shared/vault/vault.ts'
import type { Objects } from '../ports/objects.ts'
import type { SecretBox } from '../ports/secret-box.ts'
import type { Vault, VaultsStore } from '../ports/store/vaults.ts'
import type { VaultSubject } from '../ports/vault-subject.ts'
import { actorOf, type Identity } from './access.ts'
import { alertMessage } from './alert-message.ts'
import { newEvent } from './event.ts'
import { guardVault } from './guarded-vault.ts'
import { CLOCK_SKEW_WARNING, measureSkew, type ProbeDeps, probeVault } from './probe.ts'
import { InvalidFields } from './problem.ts'
import type { VaultAccess } from './vault-access.ts'

/** What the runtime needs to reach a vault. */
export interface VaultConnection {
  readonly id: string
  readonly place: VaultPlace
  /** Repositories that lie outside the layout. */
  readonly places: Places
  /** Undefined for the disk. */
  readonly credentials: VaultCredentials | undefined
  readonly capabilities: VaultCapabilities | null
  /** Our clock minus the store's, in ms: URLs are dated by the store's clock. */
  readonly skewMs: number
}

export interface VaultsDeps extends ProbeDeps {
  readonly store: VaultsStore
  readonly secretBox: SecretBox
  /** The runtime's own way to each kind of vault; `invalid` for a kind it does not have. */
  readonly connect: (connection: VaultConnection) => Promise<VaultSubject>
}

/** A week: the weekly verification of a random snapshot comes round, and people look, before anything is deleted. */
const DEFAULT_FLOOR_DAYS = 7

/** Bytes of the marker of a vault: who owns this bucket and prefix. */
const MAX_MARKER_BYTES = 4_096

export type Vaults = ReturnType<typeof createVaults>

export function createVaults(deps: VaultsDeps) {
  const { store, clock } = deps
  /** Connections by vault; replaced when anything about the vault changed. */
  const connected = new Map<string, { stamp: string; subject: Promise<VaultSubject> }>()

  async function find(idOrName: string): Promise<Vault> {
    const found = await store.find(idOrName)
    if (found === undefined) throw new HoldfastError('not-found', `there is no vault "${idOrName}"`)
    return found
  }

  /** `more`: places that are looked at and belong to no repository yet. */
  async function reach(vault: Vault, more: Places = {}): Promise<VaultSubject> {
    const { credentialsSealed, place, capabilities } = vault
    const skewMs = vault.clockSkewMs ?? 0
    const places = { ...vault.places, ...more }
    const stamp = JSON.stringify([place, places, credentialsSealed, capabilities, skewMs])
    const known = connected.get(vault.id)
    if (known?.stamp === stamp) return known.subject
    const subject = (async () => {
      const sealed = credentialsSealed
      const credentials =
        sealed === null
          ? undefined
          : vaultCredentials.parse(
              JSON.parse(await deps.secretBox.open(sealed, sealedAt(vault.id))),
            )
      return deps.connect({ id: vault.id, place, places, credentials, capabilities, skewMs })
    })()
    connected.set(vault.id, { stamp, subject })
    // A connection that could not be made is tried anew by the next caller.
    subject.catch(() => connected.delete(vault.id))
    return subject
  }

  async function probe(idOrName: string, by: Identity | undefined): Promise<Vault> {
    const found = await find(idOrName)
    // First the clock: URLs of the probe itself are dated by it.
    await noteClock(deps, found, await measureSkew(deps, (await reach(found)).objects))
    const vault = await find(found.id)
    const subject = await reach(vault)
    const { capabilities, findings } = await probeVault(deps, subject)
    await mark(vault, subject.objects)
    const worst = (['danger', 'warning', 'note', 'ok'] as const).find((level) =>
      findings.some((finding) => finding.level === level),
    )
    const event = newEvent(deps, {
      actor: by === undefined ? 'system' : actorOf(by),
      action: 'vault.probed',
      target: `vault:${vault.name}`,
      outcome: 'ok',
      details: { ...capabilities, worst: worst ?? null },
    })
    await store.recordProbe(
      vault.id,
      { capabilities, findings, at: clock.now() },
      { events: [event] },
    )
    return find(vault.id)
  }

  return {
    /**
     * Adds a vault that can be reached and written, and probes it. `already-exists` when the name is
     * taken or the place is marked as another vault's. `by` undefined: the control plane itself.
     */
    async add(wanted: NewVault, by: Identity | undefined): Promise<Vault> {
      checkFields(wanted)
      if ((await store.find(wanted.name)) !== undefined) throw taken(wanted.name)
      const now = clock.now()
      const id = newId(clock, deps.random)
      const { credentials, place } = wanted
      const connection = { id, place, places: {}, credentials, capabilities: null, skewMs: 0 }
      const subject = await deps.connect(connection)
      await tryWriting(deps, subject.objects)
      await refuseStrangersVault(subject.objects)
      const credentialsSealed =
        credentials === undefined
          ? null
          : await deps.secretBox.seal(JSON.stringify(credentials), sealedAt(id))
      const event = newEvent(deps, {
        actor: by === undefined ? 'system' : actorOf(by),
        action: 'vault.added',
        target: `vault:${wanted.name}`,
        outcome: 'ok',
        details: { id, ...placeDetails(place) },
      })
      const vault: Vault = {
        id,
        name: wanted.name,
        place,
        credentialsSealed,
        isDefault: false,
        capabilities: null,
        findings: null,
        probedAt: null,
        clockSkewMs: null,
        clockCheckedAt: null,
        places: {},
        retentionFloorDays: DEFAULT_FLOOR_DAYS,
        createdAt: now,
      }
      if (!(await store.insert(vault, { events: [event] }))) throw taken(wanted.name)
      // If we die here the vault is known but not marked; the next probe marks it.
      await mark(vault, subject.objects)
      // The disk is ours: it does what its tests say, and our own door may not be open yet.
      if (place.kind === 'disk') return find(id)
      return probe(id, by)
    },

    async list(): Promise<Vault[]> {
      return store.list()
    },

    find,

    async setDefault(idOrName: string, by: Identity): Promise<Vault> {
      const vault = await find(idOrName)
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'vault.default-set',
        target: `vault:${vault.name}`,
        outcome: 'ok',
        details: { id: vault.id },
      })
      // False: it is the default already.
      await store.setDefault(vault.id, { events: [event] })
      return find(vault.id)
    },

    /** Sets for how many days nothing is forgotten or deleted, whatever a policy says. */
    async setFloor(idOrName: string, days: number, by: Identity): Promise<Vault> {
      const vault = await find(idOrName)
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'vault.floor-set',
        target: `vault:${vault.name}`,
        outcome: 'ok',
        details: { id: vault.id, days, before: vault.retentionFloorDays },
      })
      // False: it is that already.
      await store.setFloor(vault.id, days, { events: [event] })
      return find(vault.id)
    },

    probe,

    /**
     * The vault's objects, as the last probe allows: no PUT is signed where a smuggled copy worked
     * (`forbidden`), nothing is signed with clocks too far apart (`clock-skew`). `places`: repositories that
     * are looked at where they lie, before they are anybody's.
     */
    async open(idOrName: string, places: Places = {}): Promise<VaultAccess> {
      const vault = await find(idOrName)
      return guardVault((await reach(vault, places)).objects, vault)
    },

    /** Measures every vault's clock, for the hourly timer. Resolves to the vaults that could not be asked. */
    async checkClocks(): Promise<{ vault: string; error: unknown }[]> {
      const failed: { vault: string; error: unknown }[] = []
      for (const vault of await store.list()) {
        try {
          const skewMs = await measureSkew(deps, (await reach(vault)).objects)
          await noteClock(deps, vault, skewMs)
        } catch (error) {
          failed.push({ vault: vault.name, error })
        }
      }
      return failed
    },
  }
}

async function noteClock(deps: VaultsDeps, vault: Vault, skewMs: number): Promise<void> {
  const was = Math.abs(vault.clockSkewMs ?? 0) > CLOCK_SKEW_WARNING
  const is = Math.abs(skewMs) > CLOCK_SKEW_WARNING
  const saw = { skewMs, at: deps.clock.now(), previous: vault.clockSkewMs }
  if (was === is) {
    await deps.store.recordClock(vault.id, saw, undefined)
    return
  }
  const seconds = Math.round(Math.abs(skewMs) / 1_000)
  const direction = skewMs > 0 ? 'ahead of' : 'behind'
  const event = newEvent(deps, {
    actor: 'system',
    action: is ? 'vault.clock-skewed' : 'vault.clock-agreed',
    target: `vault:${vault.name}`,
    outcome: 'ok',
    details: { skew_ms: skewMs },
  })
  const messages = is
    ? [
        alertMessage(deps, 'clock-skew', {
          hostname: 'control-plane',
          message: `The clock of the control plane is ${seconds} s ${direction} the clock of vault "${vault.name}". Above 15 minutes no backup or restore is allowed: set the clock.`,
        }),
      ]
    : []
  await deps.store.recordClock(vault.id, saw, { events: [event], messages })
}

/** Writes, reads and removes a small object. Rejects with the store's own words. */
async function tryWriting(deps: VaultsDeps, objects: Objects): Promise<void> {
  const key = `holdfast/v1/probe/${newId(deps.clock, deps.random)}/hello`
  const bytes = utf8('holdfast')
  await objects.put(key, bytes)
  const back = await objects.get(key, bytes.length)
  await objects.remove(key)
  if (back === undefined) {
    throw new HoldfastError('store-unavailable', 'what was written could not be read back')
  }
}

async function refuseStrangersVault(objects: Objects): Promise<void> {
  const marker = await objects.get(vaultMarkerKey, MAX_MARKER_BYTES)
  if (marker === undefined) return
  throw new HoldfastError('already-exists', 'this place is already the vault of a control plane', {
    hint: 'choose another prefix, or another bucket',
  })
}

async function mark(vault: Vault, objects: Objects): Promise<void> {
  const marker = { v: 1, vault: vault.id, name: vault.name, created: vault.createdAt }
  if ((await objects.put(vaultMarkerKey, utf8(canonicalJson(marker)))) === 'stored') return
  throw new HoldfastError('already-exists', `vault "${vault.name}" is marked as another vault's`, {
    hint: 'two control planes share this bucket and prefix: give one of them another prefix',
  })
}

function checkFields({ place, credentials }: NewVault): void {
  const problems: { path: string[]; message: string }[] = []
  if (place.kind === 'disk' && credentials !== undefined) {
    problems.push({ path: ['credentials'], message: 'a disk vault has no credentials' })
  }
  if (place.kind === 's3') {
    if (credentials === undefined) {
      problems.push({ path: ['credentials'], message: 'an S3 vault needs an access key' })
    }
    const { username, password, search, hash } = new URL(place.endpoint)
    if (username !== '' || password !== '' || search !== '' || hash !== '') {
      problems.push({
        path: ['place', 'endpoint'],
        message: 'must hold no user, password, query or fragment',
      })
    }
  }
  if (problems.length > 0) throw new InvalidFields(problems)
}

function placeDetails(place: VaultPlace): Record<string, string> {
  if (place.kind === 'disk') return { kind: 'disk' }
  const { endpoint, region, bucket, prefix } = place
  return { kind: 's3', endpoint, region, bucket, prefix }
}

function sealedAt(vault: string): string {
  return `vaults/${vault}/credentials`
}

function taken(name: string): HoldfastError {
  return new HoldfastError('already-exists', `there is a vault "${name}" already`)
}
