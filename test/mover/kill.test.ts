import { describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { killUntilSound } from './killing.ts'

const stock = await useRestic()

describe.skipIf(stock.missing)('a mover killed at any moment', () => {
  it('leaves a repository that the next run completes, ten times over', async () => {
    const { kills } = await killUntilSound(10, 'short')
    expect(kills).toBe(10)
  }, 180_000)
})
