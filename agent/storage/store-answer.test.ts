import { describe, expect, it } from 'vitest'
import { errorCodeOf, judgeAnswer, type Verdict } from './store-answer.ts'

const table: ['PUT' | 'GET', number, string | undefined, Verdict][] = [
  ['PUT', 200, undefined, { kind: 'ok' }],
  ['PUT', 204, undefined, { kind: 'ok' }],
  ['GET', 206, undefined, { kind: 'ok' }],
  ['PUT', 412, 'PreconditionFailed', { kind: 'taken' }],
  ['PUT', 409, 'ConditionalRequestConflict', { kind: 'again', code: 'busy' }],
  ['PUT', 429, undefined, { kind: 'again', code: 'busy' }],
  ['PUT', 503, 'SlowDown', { kind: 'again', code: 'busy' }],
  ['PUT', 500, 'InternalError', { kind: 'again', code: 'busy' }],
  ['PUT', 400, 'RequestTimeout', { kind: 'again', code: 'busy' }],
  ['PUT', 400, 'XAmzContentSHA256Mismatch', { kind: 'again', code: 'corrupt' }],
  ['PUT', 400, 'BadDigest', { kind: 'again', code: 'corrupt' }],
  ['PUT', 400, 'InvalidRequest', { kind: 'never', code: 'denied' }],
  ['PUT', 403, 'AccessDenied', { kind: 'regrant', code: 'denied' }],
  ['PUT', 403, 'SignatureDoesNotMatch', { kind: 'regrant', code: 'denied' }],
  ['PUT', 403, 'RequestTimeTooSkewed', { kind: 'regrant', code: 'clock-skew' }],
  ['PUT', 401, undefined, { kind: 'regrant', code: 'denied' }],
  ['PUT', 404, 'NoSuchBucket', { kind: 'never', code: 'denied' }],
  ['PUT', 501, 'NotImplemented', { kind: 'never', code: 'denied' }],
  ['PUT', 307, undefined, { kind: 'never', code: 'denied' }],
  ['GET', 404, 'NoSuchKey', { kind: 'never', code: 'absent' }],
  ['GET', 416, 'InvalidRange', { kind: 'never', code: 'truncated' }],
  ['GET', 204, undefined, { kind: 'never', code: 'denied' }],
]

describe('judgeAnswer', () => {
  it.each(table)('%s %d %s', (method, status, code, verdict) => {
    expect(judgeAnswer(method, status, code)).toEqual(verdict)
  })
})

describe('errorCodeOf', () => {
  it('finds the code of an S3 error document and nothing else', () => {
    expect(errorCodeOf('<?xml?><Error><Code>SlowDown</Code><Message>x</Message></Error>')).toBe(
      'SlowDown',
    )
    expect(errorCodeOf('<html>502</html>')).toBeUndefined()
    expect(errorCodeOf('<Code>a\nb</Code>')).toBeUndefined()
  })
})
