// Repositories as they are made and used: absent, initialising, ready.
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

/** Config and key files while they are being written, base64. */
export interface InitialFiles {
  readonly config: string
  readonly keys: readonly string[]
}

export interface RepositoryState {
  readonly id: string
  readonly host: string
  readonly vault: string
  /** Where in its vault it lies, if it was there before us. */
  readonly place: string | null
  readonly state: 'absent' | 'initialising' | 'ready'
  readonly epoch: number
  readonly configSha256: string | null
  readonly initial: InitialFiles | null
}

export interface Escrow {
  readonly n: number
  readonly recipient: string
  /** age ciphertext, base64. */
  readonly sealed: string
}

export interface RepositoriesStore {
  find(id: string): Promise<RepositoryState | undefined>
  /**
   * absent → initialising, with everything that will be written. Pins the host's recovery recipient where
   * none was known. False when it is not absent any more.
   */
  begin(
    repository: string,
    files: InitialFiles & { readonly configSha256: string },
    escrow: Escrow,
    at: Instant,
    trace: Trace,
  ): Promise<boolean>
  /**
   * As `begin`, for a repository that lies there already: absent, or ready and without a snapshot → initialising,
   * at its new place. False when it is neither, or when another repository has the place.
   */
  adopt(
    repository: string,
    at: { readonly vault: string; readonly place: string },
    files: InitialFiles & { readonly configSha256: string },
    escrow: Escrow,
    now: Instant,
    trace: Trace,
  ): Promise<boolean>
  escrows(repository: string): Promise<Escrow[]>
  /** initialising → ready. False when it was not initialising. */
  ready(repository: string, at: Instant, trace: Trace): Promise<boolean>
  initialising(): Promise<RepositoryState[]>
}
