// The tools of a probe: objects under its own prefix, grants for them, and the list of findings.
import { sha256Hex } from '../../shared/bytes.ts'
import type { ProbeFinding } from '../../shared/vault/vault.ts'
import type { ExactAnswer, SendExactly } from '../ports/exact-request.ts'
import type { SignedUrl } from '../ports/objects.ts'
import type { ProbePins, VaultSubject } from '../ports/vault-subject.ts'
import type { Basics } from './deps.ts'

/** Life of a probe's URLs, in seconds. */
const SECONDS = 300

export interface ProbeObject {
  readonly key: string
  readonly bytes: Uint8Array
  readonly sha256: string
  readonly md5: string
}

type Remedy = { readonly remedy?: string }

export interface ProbeBench {
  readonly subject: VaultSubject
  readonly prefix: string
  readonly send: SendExactly
  readonly findings: ProbeFinding[]
  /** What grants of this store will pin; undefined until a right PUT worked. */
  pins: ProbePins | undefined
  ok(check: string, saw: string): void
  note(check: string, saw: string, more?: Remedy): void
  warning(check: string, saw: string, more?: Remedy): void
  danger(check: string, saw: string, more?: Remedy): void
  /** Random bytes and the key they would have. Nothing is stored. */
  object(name: string, length: number): Promise<ProbeObject>
  /** An object that the store holds now, by the control plane's own hand; undefined if it could not. */
  stored(name: string): Promise<ProbeObject | undefined>
  sign(object: ProbeObject, options?: { pins?: ProbePins; at?: number }): Promise<SignedUrl>
  /** A GET URL for the object of that name. */
  read(name: string, at?: number): Promise<SignedUrl>
  /** A signed PUT, sent with changes. */
  put(
    object: ProbeObject,
    change?: {
      grant?: SignedUrl
      url?: string
      method?: string
      body?: Uint8Array
      /** Header values that replace signed ones. */
      replace?: Readonly<Record<string, string>>
      extra?: readonly (readonly [string, string])[]
    },
  ): Promise<ExactAnswer>
  /** What the store holds under that key. */
  holds(key: string): Promise<Uint8Array | undefined>
}

export function createProbeBench(
  deps: Basics & { send: SendExactly; md5Hex(bytes: Uint8Array): string },
  subject: VaultSubject,
  id: string,
): ProbeBench {
  const prefix = `holdfast/v1/probe/${id}/`
  const findings: ProbeFinding[] = []
  const say =
    (level: ProbeFinding['level']) =>
    (check: string, saw: string, more: Remedy = {}) => {
      findings.push({ check, level, saw, ...more })
    }
  const bench: ProbeBench = {
    subject,
    prefix,
    send: deps.send,
    findings,
    pins: undefined,
    ok: say('ok'),
    note: say('note'),
    warning: say('warning'),
    danger: say('danger'),

    async object(name, length) {
      const bytes = deps.random.bytes(length)
      const sha256 = await sha256Hex(bytes)
      return { key: prefix + name, bytes, sha256, md5: deps.md5Hex(bytes) }
    },

    async stored(name) {
      const object = await bench.object(name, 200)
      return (await subject.objects.put(object.key, object.bytes)) === 'stored' ? object : undefined
    },

    sign({ key, bytes, sha256, md5 }, options = {}) {
      const wanted = { key, bytes: bytes.length, sha256, md5, seconds: SECONDS }
      const pins = options.pins ?? bench.pins ?? subject.pins
      return subject.signPut(wanted, pins, options.at ?? deps.clock.now())
    },

    read: (name, at) =>
      subject.signGet({ key: prefix + name, seconds: SECONDS }, at ?? deps.clock.now()),

    async put(object, change = {}) {
      const grant = change.grant ?? (await bench.sign(object))
      const headers = { ...grant.headers, ...change.replace }
      return deps.send({
        method: change.method ?? 'PUT',
        url: change.url ?? grant.url,
        headers: [...Object.entries(headers), ...(change.extra ?? [])],
        body: change.body ?? object.bytes,
      })
    },

    holds: (key) => subject.objects.get(key, 100_000),
  }
  return bench
}

export function accepted(answer: ExactAnswer): boolean {
  return answer.status >= 200 && answer.status < 300
}
