import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HoldfastError } from '../errors.ts'
import { fromAgent } from './from-agent.ts'
import { fromControl } from './from-control.ts'
import { decodeFrame, encodeFrame, MAX_FRAME } from './wire.ts'

describe('a frame', () => {
  it('over the limit is refused before it is parsed', () => {
    const long = `"${'x'.repeat(MAX_FRAME)}"`
    expect(() => decodeFrame(fromControl, long)).toThrow(
      `frame of ${long.length} characters; the limit is 1048576`,
    )
  })

  it('names the field that is wrong, and never its value', () => {
    const secret = 'hf_session_secret'
    const text = JSON.stringify({
      type: 'session',
      session: secret,
      sessionSeconds: -1,
      more: secret,
    })
    const error = (() => {
      try {
        decodeFrame(fromControl, text)
      } catch (caught) {
        return caught as HoldfastError
      }
    })()
    expect(error?.code).toBe('invalid')
    expect(error?.message).toContain('sessionSeconds: ')
    expect(error?.message).not.toContain(secret)
  })

  it('that we could not read ourselves never leaves', () => {
    expect(() => encodeFrame(fromAgent, { type: 'renew', extra: 1 } as never)).toThrow(
      HoldfastError,
    )
  })

  it('of any bytes at all is a value or a typed error', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.object().map((value) => JSON.stringify({ type: 'run', ...value })),
        ),
        (text) => {
          for (const schema of [fromControl, fromAgent]) {
            try {
              decodeFrame<unknown>(schema, text)
            } catch (error) {
              expect(error).toBeInstanceOf(HoldfastError)
            }
          }
        },
      ),
      { numRuns: 2_000 },
    )
  })
})
