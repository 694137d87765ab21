import { expect, it } from 'vitest'
import { createSlots } from './slots.ts'

const never = new AbortController().signal
const settled = () => new Promise((resolve) => setImmediate(resolve))

it('lets two movers of a repository work at once and the third wait for a place', async () => {
  const slots = createSlots()
  const first = await slots.take('a', false, never)
  await slots.take('a', false, never)
  let third = false
  slots.take('a', false, never).then(() => {
    third = true
  })
  await settled()
  expect(third).toBe(false)
  await slots.take('b', false, never)
  first()
  await settled()
  expect(third).toBe(true)
})

it('gives an init the repository alone, in its turn', async () => {
  const slots = createSlots()
  const order: string[] = []
  const first = await slots.take('a', false, never)
  const init = slots.take('a', true, never).then((give) => {
    order.push('init')
    return give
  })
  const later = slots.take('a', false, never).then(() => order.push('later'))
  await settled()
  expect(order).toEqual([])
  first()
  const give = await init
  await settled()
  expect(order).toEqual(['init'])
  give()
  await later
  expect(order).toEqual(['init', 'later'])
})

it('forgets who gave up waiting', async () => {
  const slots = createSlots()
  const first = await slots.take('a', true, never)
  const stop = new AbortController()
  const waiting = slots.take('a', true, stop.signal)
  stop.abort(new Error('no more'))
  await expect(waiting).rejects.toThrow('no more')
  const next = slots.take('a', false, never)
  first()
  await next
})

it('keeps to the strictest number of movers on the host, across repositories, and looks again when it changes', async () => {
  const slots = createSlots()
  let most = 1
  const first = await slots.take('a', false, never, () => most)
  const order: string[] = []
  const wait = (name: string, repository: string) =>
    slots.take(repository, false, never).then((give) => {
      order.push(name)
      return give
    })
  const second = wait('second', 'b')
  const third = wait('third', 'c')
  await settled()
  expect(order).toEqual([])
  most = 2
  slots.look()
  await settled()
  expect(order).toEqual(['second'])
  first()
  await settled()
  expect(order).toEqual(['second', 'third'])
  for (const give of [await second, await third]) give()
})
