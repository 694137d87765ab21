import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backupStory, breakAll, restoreStory, type Story } from './every-step.ts'

/** Stock restic checks once in so many runs; each is judged by what the next one restores. */
const STOCK_EVERY = 10

describe.each([
  ['a restore', restoreStory],
  ['a backup', backupStory],
] as const)('%s that breaks at each step of the disk in turn, in each way', (_, tell) => {
  let story: Story
  beforeAll(async () => {
    story = await tell()
  })
  afterAll(() => story?.close())

  it('is made whole by the next one', async () => {
    expect(story.faults.length).toBeGreaterThan(200)
    await breakAll(story, story.faults, STOCK_EVERY)
  }, 1_200_000)
})
