import { describe, expect, it } from 'vitest'
import { HoldfastError } from '../../../shared/errors.ts'
import { storeError } from './store-error.ts'

const answered = (name: string, status: number) => ({
  name,
  message: 'https://key:secret@store.example/?X-Amz-Signature=canary',
  $metadata: { httpStatusCode: status },
})

describe('a store’s failure', () => {
  it.each([
    [answered('AccessDenied', 403), 'forbidden', 'the store refused to x (HTTP 403 AccessDenied)'],
    [answered('SignatureDoesNotMatch', 403), 'forbidden', 'SignatureDoesNotMatch'],
    [answered('InvalidAccessKeyId', 403), 'forbidden', 'InvalidAccessKeyId'],
    [answered('Unknown', 401), 'forbidden', 'HTTP 401'],
    [answered('RequestTimeTooSkewed', 403), 'clock-skew', 'our clocks differ'],
    [answered('NoSuchBucket', 404), 'store-unavailable', 'the bucket does not exist'],
    [answered('SlowDown', 503), 'store-unavailable', 'could not x (HTTP 503 SlowDown)'],
    [answered('InternalError', 500), 'store-unavailable', 'HTTP 500 InternalError'],
    [answered('<b>odd name</b>', 500), 'store-unavailable', 'could not x (HTTP 500)'],
    [{ name: 'TimeoutError' }, 'store-unavailable', 'no answer in time'],
    [{ code: 'ECONNREFUSED' }, 'store-unavailable', 'the connection was refused'],
    [
      { name: 'TypeError', cause: { code: 'ENOTFOUND' } },
      'store-unavailable',
      'could not be resolved',
    ],
    [{ code: 'CERT_HAS_EXPIRED' }, 'store-unavailable', 'its certificate has expired'],
    [new Error('canary'), 'store-unavailable', 'could not x (Error)'],
    [undefined, 'store-unavailable', 'no proper answer'],
  ])('%j is %s', (error, code, words) => {
    const mapped = storeError(error, 'x')
    expect(mapped.code).toBe(code)
    expect(mapped.message).toContain(words)
    expect(mapped.cause).toBeUndefined()
    expect(`${mapped.message}${mapped.hint}`).not.toMatch(/canary|secret/)
  })

  it('that is ours already passes as it is', () => {
    const ours = new HoldfastError('too-large', 'x')
    expect(storeError(ours, 'y')).toBe(ours)
  })
})
