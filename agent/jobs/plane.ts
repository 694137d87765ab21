// What jobs need from the control plane. Every rejection is a `HoldfastError`; `plane-unavailable` means
// that no proper answer came in the tries the implementation makes on its own.
import type * as z from 'zod'
import type {
  CommitRequest,
  commitAnswer,
  FinishRequest,
  leaseAnswer,
  leaseRequest,
  RetireRequest,
  retireAnswer,
} from '../../shared/protocol/calls.ts'

export type LeaseRequest = z.infer<typeof leaseRequest>
export type LeaseAnswer = z.infer<typeof leaseAnswer>
export type CommitAnswer = z.infer<typeof commitAnswer>
export type RetireAnswer = z.infer<typeof retireAnswer>

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  readonly tries?: number
}

export interface Plane {
  post<T>(path: string, body: unknown, answer: z.ZodType<T>, options?: CallOptions): Promise<T>
  lease(batch: string, request: LeaseRequest, options?: CallOptions): Promise<LeaseAnswer>
  commit(batch: string, request: CommitRequest, options?: CallOptions): Promise<CommitAnswer>
  commitState(
    batch: string,
    job: string,
    attempt: number,
    options?: CallOptions,
  ): Promise<CommitAnswer>
  retire(batch: string, request: RetireRequest, options?: CallOptions): Promise<RetireAnswer>
  retireState(
    batch: string,
    job: string,
    attempt: number,
    options?: CallOptions,
  ): Promise<RetireAnswer>
  finish(batch: string, request: FinishRequest, options?: CallOptions): Promise<void>
}
