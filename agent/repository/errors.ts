// Everything that can go wrong inside a repository: a closed list, each with what it means to a caller.

/**
 * `retryable`: the same call may succeed later. `exitCode`: what a command line reports, as restic does
 * (1 failed, 10 no repository, 11 lock, 12 wrong password, 130 cancelled).
 */
export const repositoryErrors = {
  'wrong-password': { retryable: false, exitCode: 12 }, // no key file opens with this password
  'no-repository': { retryable: false, exitCode: 10 }, // no config, or no key file
  'repository-exists': { retryable: false, exitCode: 1 }, // init over a config, key or snapshot
  'lock-conflict': { retryable: true, exitCode: 11 }, // another process holds a lock that excludes ours
  'unsupported-version': { retryable: false, exitCode: 1 }, // a format we do not speak
  damaged: { retryable: false, exitCode: 1 }, // bytes that are not what their name, MAC or index promises
  'too-large': { retryable: false, exitCode: 1 }, // beyond a limit that keeps memory bounded
  'illegal-name': { retryable: false, exitCode: 1 }, // a node name that could leave its directory
  'unknown-blob': { retryable: false, exitCode: 1 }, // no live index file lists this blob
  'invalid-input': { retryable: false, exitCode: 1 }, // the caller asked for what the format cannot hold
  'self-check-failed': { retryable: false, exitCode: 1 }, // what was just sealed did not open again: broken memory or a bug
  'worker-lost': { retryable: false, exitCode: 1 }, // a thread of the writer ended: out of memory, or killed
  'writer-broken': { retryable: false, exitCode: 1 }, // an earlier write failed; start a new writer
  cancelled: { retryable: false, exitCode: 130 }, // the caller's signal fired
} as const

export type RepositoryErrorCode = keyof typeof repositoryErrors

/** A failure of the engine. `message` holds object ids and counts, never file names, keys or content. */
export class RepositoryError extends Error {
  readonly code: RepositoryErrorCode
  constructor(code: RepositoryErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'RepositoryError'
    this.code = code
  }
  get retryable(): boolean {
    return repositoryErrors[this.code].retryable
  }
  get exitCode(): number {
    return repositoryErrors[this.code].exitCode
  }
}

/** Shorthand for the commonest failure: foreign bytes that are not what they should be. */
export function damaged(message: string, cause?: unknown): RepositoryError {
  return new RepositoryError('damaged', message, cause === undefined ? undefined : { cause })
}
