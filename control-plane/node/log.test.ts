import { describe, expect, it } from 'vitest'
import { HoldfastError } from '../../shared/errors.ts'
import { allowed } from './log.ts'

describe('what gets into the log', () => {
  it('is what the list names, and nothing else', () => {
    const kept = allowed({
      host: 'h',
      token: 'hf_api_secret',
      url: 'https://x/?sig=secret',
      count: 3,
    })
    expect(kept).toEqual({ host: 'h', count: 3 })
  })

  it('of a foreign error is its kind, code and place, not its text or parameters', () => {
    const cause = Object.assign(new Error('params: canary-secret'), { code: 'SQLITE_BUSY' })
    const error = new TypeError('Failed query: canary-secret', { cause })
    const text = JSON.stringify(allowed({ error }))
    expect(text).not.toContain('canary-secret')
    expect(text).toContain('"kind":"TypeError"')
    expect(text).toContain('"code":"SQLITE_BUSY"')
    expect(text).toContain('log.test.ts')
  })

  it('of our own error is its text too, which is made to be seen', () => {
    const error = new HoldfastError('store-unavailable', 'the vault does not answer')
    expect(JSON.stringify(allowed({ error }))).toContain('the vault does not answer')
  })

  it('of several errors is each of them', () => {
    const error = new AggregateError([new RangeError('secret'), 'secret'], 'two failed')
    const text = JSON.stringify(allowed({ error }))
    expect(text).toContain('RangeError')
    expect(text).not.toContain('secret')
  })
})
