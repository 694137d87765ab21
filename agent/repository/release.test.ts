import { expect, test } from 'vitest'
import { release } from './release.ts'

test('empties a large buffer, and with it every view of it', () => {
  const buffer = Buffer.alloc(1024 * 1024, 7)
  const view = buffer.subarray(10, 20)
  release(buffer)
  expect(buffer.length).toBe(0)
  expect(view.length).toBe(0)
})

test("leaves small buffers alone, because they may share Node's pool", () => {
  const small = Buffer.from('in the pool')
  release(small)
  expect(small.toString()).toBe('in the pool')
  expect(Buffer.from('still usable').toString()).toBe('still usable')
})
