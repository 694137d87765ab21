import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSeeded } from '../support/seeded.ts'
import { backupStory, breakAll, restoreStory, type Story } from './every-step.ts'

const seed = process.env.HOLDFAST_SEED ?? String(Date.now())

describe.each([
  ['a restore', restoreStory, 25],
  ['a backup', backupStory, 10],
] as const)('%s that breaks at any step of the disk', (what, tell, count) => {
  let story: Story
  beforeAll(async () => {
    story = await tell()
  })
  afterAll(() => story?.close())

  it(`is made whole by the next one (${count} of all, HOLDFAST_SEED=${seed})`, async () => {
    expect(story.steps.length).toBeGreaterThan(80)
    const seeded = createSeeded(`${what} ${seed}`)
    const faults = Array.from({ length: count }, () => seeded.pick(story.faults))
    await breakAll(story, faults, Number.POSITIVE_INFINITY)
  }, 120_000)
})
