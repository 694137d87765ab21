import { describe, expect, it } from 'vitest'
import { describeError, scrub } from './scrub.ts'

describe('scrub', () => {
  it.each([
    [
      'PUT https://s3.example/b/k?X-Amz-Signature=CANARY&x=1 failed',
      'PUT https://s3.example/b/k?… failed',
    ],
    [
      'proxy http://user:CANARY@proxy.example:3128 said 407',
      'proxy http://…@proxy.example:3128 said 407',
    ],
    ['token hf_enroll_CANARY_x1 is used', 'token hf_… is used'],
    ['AGE-SECRET-KEY-1CANARY', 'AGE-SECRET-KEY-…'],
    ['authorization: Bearer CANARY', 'authorization: Bearer …'],
    ['a=1&X-Amz-Credential=CANARY&b', 'a=1&X-Amz-…&b'],
  ])('blots the secret out of "%s"', (text, expected) => {
    expect(scrub(text)).toBe(expected)
  })

  it('cuts what is too long', () => {
    expect(scrub('x'.repeat(1_000))).toHaveLength(501)
  })
})

describe('describeError', () => {
  it('names code, message and cause, without secrets', () => {
    const cause = Object.assign(new Error('connect to https://h.example/?q=CANARY'), {
      code: 'ECONNREFUSED',
    })
    const error = new Error('no answer', { cause })
    expect(describeError(error)).toBe('no answer (ECONNREFUSED: connect to https://h.example/?…)')
  })
})
