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
  escrows(repository: string): Promise<Escrow[]>
  /** initialising → ready. False when it was not initialising. */
  ready(repository: string, at: Instant, trace: Trace): Promise<boolean>
  initialising(): Promise<RepositoryState[]>
}
