import { describe, expect, it } from 'vitest'
import { HoldfastError } from '../../shared/errors.ts'
import { RepositoryError, repositoryErrors } from '../repository/errors.ts'
import { StorageError, storageErrors } from '../storage/object-store.ts'
import { endingOf } from './ending.ts'
import { JobCancelled, JobFailure } from './job-failure.ts'
import { Refusal } from './refusal.ts'

const system = (code: string) =>
  Object.assign(new Error(`${code}: open '/var/lib/patients/4711'`), { code, syscall: 'open' })

const table: [string, unknown, string][] = [
  ['a job that said why', new JobFailure('source-missing', 'gone'), 'failed source-missing'],
  ['a person', new JobCancelled(), 'cancelled cancelled-by-person'],
  ['a wrong password', new RepositoryError('wrong-password', 'x'), 'failed wrong-password'],
  ['damage', new RepositoryError('damaged', 'x'), 'failed repository-damaged'],
  ['a lock', new RepositoryError('lock-conflict', 'x'), 'failed repository-locked'],
  ['a lock taken away', new Refusal('lock', 'lock-lost', 'x', false), 'failed repository-locked'],
  ['a prune', new Refusal('retire', 'conflict', 'x', false), 'failed retirement-refused'],
  ['a dead store', new StorageError('unreachable', 'x'), 'failed store-unavailable'],
  ['a missing object', new StorageError('absent', 'x'), 'failed repository-damaged'],
  ['a taken name', new StorageError('exists', 'x'), 'failed object-conflict'],
  ['a refusing store', new StorageError('denied', 'x'), 'failed store-refused'],
  ['a skewed clock', new StorageError('clock-skew', 'x'), 'failed clock-skew'],
  [
    'a refused grant below a store error',
    new StorageError('denied', 'x', { cause: new Refusal('grants', 'forbidden', 'no', false) }),
    'failed grant-refused',
  ],
  [
    'a broken writer over a dead store',
    new RepositoryError('writer-broken', 'x', { cause: new StorageError('busy', 'y') }),
    'failed store-unavailable',
  ],
  [
    'a broken writer over a cancelled job',
    new RepositoryError('writer-broken', 'x', { cause: new JobCancelled() }),
    'cancelled cancelled-by-person',
  ],
  ['a refused commit', new Refusal('commit', 'fence-stale', 'x', false), 'failed commit-refused'],
  [
    'an unreachable plane',
    new Refusal('listing', 'plane-unavailable', 'x', true),
    'failed plane-unavailable',
  ],
  ['no such snapshot', new Refusal('read', 'not-found', 'x', false), 'failed snapshot-missing'],
  [
    'a path that is not in the snapshot',
    new HoldfastError('not-found', 'x'),
    'failed snapshot-missing',
  ],
  ['a full target', new HoldfastError('invalid', 'x'), 'failed target-invalid'],
  ['a full disk', system('ENOSPC'), 'failed disk-full'],
  ['a missing capability', system('EPERM'), 'failed permission-denied'],
  ['a bug', new TypeError("cannot read '/var/lib/patients'"), 'failed internal-error'],
  ['no error at all', 'thrown text', 'failed internal-error'],
]

describe('endingOf', () => {
  it.each(table)('knows %s', (_what, error, expected) => {
    const { outcome, reason } = endingOf(error)
    expect(`${outcome} ${reason}`).toBe(expected)
  })

  it('never repeats a path of the system or of a bug', () => {
    for (const error of [system('ENOSPC'), system('EACCES'), new TypeError('/var/lib/patients')]) {
      expect(endingOf(error).message).not.toContain('patients')
    }
  })

  it('has a reason for every code of engine and store', () => {
    for (const code of Object.keys(repositoryErrors) as (keyof typeof repositoryErrors)[]) {
      expect(endingOf(new RepositoryError(code, 'x')).reason).toBeDefined()
    }
    for (const code of Object.keys(storageErrors) as (keyof typeof storageErrors)[]) {
      expect(endingOf(new StorageError(code, 'x')).reason).toBeDefined()
    }
  })

  it('survives errors that are their own cause', () => {
    const error = new Error('x')
    error.cause = error
    expect(endingOf(error).reason).toBe('internal-error')
  })
})
