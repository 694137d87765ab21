import { describe, expect, it } from 'vitest'
import { HoldfastError } from '../../shared/errors.ts'
import { exitCodeOfOutcome } from './exit-code.ts'
import { lineWatcher, silentWatcher, type WatchedJob, waitForJob } from './job-wait.ts'

function job(over: Partial<WatchedJob>): WatchedJob {
  return {
    id: 'j',
    kind: 'backup',
    state: 'running',
    attempt: 1,
    progress: null,
    outcome: null,
    reason: null,
    message: null,
    ...over,
  }
}
const reading = {
  phase: 'reading',
  files: 3,
  filesTotal: 10,
  bytes: 1_048_576,
  bytesTotal: 4_194_304,
} as const

describe('waiting for a job', () => {
  it('ends when the job is finished, and shows every change of phase once', async () => {
    const states = [
      job({ state: 'queued' }),
      job({ progress: reading }),
      job({ progress: reading }),
      job({ progress: { ...reading, phase: 'uploading' } }),
      job({ state: 'finished', outcome: 'succeeded', reason: 'completed' }),
    ]
    const lines: string[] = []
    const ended = await waitForJob(
      async () => states.shift()!,
      lineWatcher(
        (line) => lines.push(line),
        () => 0,
      ),
      new AbortController().signal,
    )
    expect(ended.outcome).toBe('succeeded')
    expect(lines).toEqual([
      'waiting for the host',
      'reading 3/10 files, 1.0 MiB/4.0 MiB',
      'uploading 3/10 files, 1.0 MiB/4.0 MiB',
    ])
  })

  it('says that it is not the first attempt', async () => {
    const lines: string[] = []
    lineWatcher(
      (line) => lines.push(line),
      () => 0,
    ).show(job({ attempt: 2, progress: reading }))
    expect(lines[0]).toMatch(/^reading \(attempt 2\) /)
  })

  it('stops when it is told to, and leaves the job alone', async () => {
    const stop = new AbortController()
    const waiting = waitForJob(async () => job({}), silentWatcher, stop.signal)
    stop.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow()
  })
})

describe('waiting while the control plane is away', () => {
  const away = new HoldfastError('plane-unavailable', 'the control plane does not answer')
  const never = new AbortController().signal
  const looking = (...answers: (WatchedJob | Error)[]) => {
    return async () => {
      const next = answers.shift()!
      if (next instanceof Error) throw next
      return next
    }
  }

  it('goes on when it is back', async () => {
    const look = looking(job({}), away, job({ state: 'finished' }))
    expect(await waitForJob(look, silentWatcher, never)).toMatchObject({ state: 'finished' })
  })

  it('ends when it stays away', async () => {
    const waiting = waitForJob(looking(away, away), silentWatcher, never, 100)
    await expect(waiting).rejects.toBe(away)
  })

  it('ends at once when the answer is another', async () => {
    const gone = new HoldfastError('not-found', 'there is no job "j"')
    await expect(waitForJob(looking(gone), silentWatcher, never)).rejects.toBe(gone)
  })
})

describe('the exit code', () => {
  it('is restic’s', () => {
    expect(exitCodeOfOutcome('succeeded', 'completed')).toBe(0)
    expect(exitCodeOfOutcome('warning', 'files-unreadable')).toBe(3)
    expect(exitCodeOfOutcome('failed', 'source-missing')).toBe(1)
    expect(exitCodeOfOutcome('failed', 'repository-locked')).toBe(11)
    expect(exitCodeOfOutcome('failed', 'wrong-password')).toBe(12)
    expect(exitCodeOfOutcome('cancelled', 'cancelled-by-person')).toBe(130)
    expect(exitCodeOfOutcome('lost', 'mover-died')).toBe(1)
  })
})
