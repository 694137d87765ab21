// The config file: which format, which repository, and where its chunks are cut.
import { open, type SealingKey, seal } from './cipher.ts'
import { RepositoryError } from './errors.ts'
import { field, parseObject, stringField, uintField } from './go-json.ts'
import type { Id, Random } from './id.ts'
import { parsePolynomial } from './polynomial.ts'

export interface Config {
  readonly version: 1 | 2
  /** The repository's own random id; foreign repositories may leave it empty. */
  readonly id: Id | ''
  readonly polynomial: bigint
}

/** A config is about 200 bytes; beyond this it is none. */
const configLimit = 64 * 1024

/** The sealed config, never compressed. Seal once and keep the bytes: a repeat must store the same ones. */
export function sealConfig(key: SealingKey, config: Config, random: Random): Buffer {
  const polynomial = config.polynomial.toString(16)
  const json = `{"version":${config.version},"id":"${config.id}","chunker_polynomial":"${polynomial}"}`
  return seal(key, Buffer.from(json), random)
}

/** Rejects with `damaged` or `unsupported-version`. */
export function openConfig(key: SealingKey, bytes: Uint8Array): Config {
  if (bytes.length > configLimit) {
    throw new RepositoryError('too-large', `the config has ${bytes.length} bytes`)
  }
  const what = 'the config'
  const json = parseObject(open(key, bytes), what)
  const version = uintField(json, 'version', what)
  if (version !== 1 && version !== 2) {
    throw new RepositoryError('unsupported-version', `repository version ${version ?? 'missing'}`)
  }
  return {
    version,
    id: stringField(json, 'id', what) ?? '',
    polynomial: parsePolynomial(field(json, 'chunker_polynomial')),
  }
}
