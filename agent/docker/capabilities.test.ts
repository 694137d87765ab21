import { describe, expect, it } from 'vitest'
import { lacking, READING, RESTORING } from './capabilities.ts'

const status = (digits: string) =>
  `Name:\tnode\nCapInh:\t0000000000000000\nCapEff:\t${digits}\nCapBnd:\t0\n`

describe('lacking', () => {
  it('finds nothing missing for root', () => {
    expect(lacking(status('000001ffffffffff'), [...READING, ...RESTORING])).toEqual([])
  })

  it('names what a container of default rights lacks', () => {
    expect(lacking(status('00000000a80425fb'), [...READING, ...RESTORING])).toEqual([
      'DAC_READ_SEARCH',
    ])
  })

  it('takes an unreadable status for no right at all', () => {
    expect(lacking('nonsense', RESTORING)).toEqual([...RESTORING])
  })
})
