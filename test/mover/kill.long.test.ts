import { describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { killUntilSound } from './killing.ts'

const stock = await useRestic()

describe.skipIf(stock.missing)('a mover killed at any moment', () => {
  it('leaves a repository that the next run completes, a hundred times over', async () => {
    const { kills } = await killUntilSound(100, 'long')
    expect(kills).toBe(100)
  }, 1_200_000)
})
