import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { receipt, receiptBytes } from '../../shared/backup/receipt.ts'
import { retirement, retirementBytes } from '../../shared/backup/retirement.ts'
import { toHex } from '../../shared/bytes.ts'
import { fromAgent } from '../../shared/protocol/from-agent.ts'
import { fromControl } from '../../shared/protocol/from-control.ts'
import { connectBytes } from '../../shared/protocol/hello.ts'
import {
  commonVersion,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
} from '../../shared/protocol/version.ts'
import { decodeFrame, encodeFrame } from '../../shared/protocol/wire.ts'

/** Frames as this version writes them. A version that lands stays readable: lines are added, never edited. */
const frames = readFileSync(new URL('golden-frames.ndjson', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as { from: 'agent' | 'control'; frame: { type: string } })

describe('golden frames', () => {
  it.each(frames)('$from $frame.type is read and written as ever', ({ from, frame }) => {
    const text = JSON.stringify(frame)
    if (from === 'agent') expect(encodeFrame(fromAgent, decodeFrame(fromAgent, text))).toBe(text)
    else expect(encodeFrame(fromControl, decodeFrame(fromControl, text))).toBe(text)
  })

  it('hold every type there is', () => {
    const types = (from: string) =>
      new Set(frames.filter((one) => one.from === from).map(({ frame }) => frame.type))
    expect(types('agent')).toEqual(
      new Set(fromAgent.options.map((option) => option.shape.type.value)),
    )
    expect(types('control')).toEqual(
      new Set(fromControl.options.map((option) => option.shape.type.value)),
    )
  })

  it('greetings of later versions are readable: unknown fields are allowed there', () => {
    for (const { from, frame } of frames) {
      if (!['hello', 'prove', 'challenge', 'welcome', 'reject'].includes(frame.type)) continue
      const text = JSON.stringify({ ...frame, novelty: { deep: true } })
      expect(() =>
        decodeFrame<unknown>(from === 'agent' ? fromAgent : fromControl, text),
      ).not.toThrow()
    }
  })
})

describe('versions', () => {
  it('are spoken back to two before, and the lower of both is taken', () => {
    expect(commonVersion(PROTOCOL_VERSION)).toBe(PROTOCOL_VERSION)
    expect(commonVersion(PROTOCOL_VERSION + 7)).toBe(PROTOCOL_VERSION)
    expect(commonVersion(OLDEST_PROTOCOL_VERSION - 1)).toBeUndefined()
  })
})

describe('signed bytes', () => {
  it('of a connect are these, for ever', () => {
    const bytes = connectBytes({
      origin: 'https://plane.example',
      host: 'h',
      nonce: 'n',
      time: 't',
    })
    expect(Buffer.from(bytes).toString()).toBe(
      'holdfast-connect/1\nhttps://plane.example\nh\nn\nt\n',
    )
  })

  it('of a receipt are canonical: the order of its fields does not matter', () => {
    const value = receipt.parse({
      v: 1,
      host: '01234567-89ab-7fff-bfff-ffffffffffff',
      repository: '01234567-89ab-7fff-bfff-ffffffffffff',
      job: '01234567-89ab-7fff-bfff-ffffffffffff',
      attempt: 1,
      fence: 2,
      epoch: 0,
      snapshot: 'a'.repeat(64),
      snapshotBytes: 400,
      tree: 'b'.repeat(64),
      source: { kind: 'volume', name: 'x' },
      time: '2026-01-02T03:04:05Z',
      parent: null,
      packs: [{ id: 'c'.repeat(64), bytes: 100, type: 'data' }],
      indexes: [],
      refers: { base: null, packs: [] },
      counts: { files: 1, bytes: 2, milliseconds: 3 },
    })
    const turned = Object.fromEntries(Object.entries(value).reverse()) as typeof value
    expect(toHex(receiptBytes(turned))).toBe(toHex(receiptBytes(value)))
    expect(Buffer.from(receiptBytes(value)).toString()).toMatch(
      /^holdfast-receipt\/1\n\{"attempt":1,"counts":/,
    )
  })

  it('of a retirement are canonical too, and no other message can pass for one', () => {
    const value = retirement.parse({
      v: 1,
      host: '01234567-89ab-7fff-bfff-ffffffffffff',
      repository: '01234567-89ab-7fff-bfff-ffffffffffff',
      job: '01234567-89ab-7fff-bfff-ffffffffffff',
      attempt: 1,
      fence: 2,
      epoch: 0,
      walked: ['a'.repeat(64)],
      added: { packs: [], indexes: [] },
      replacedIndexes: [],
      condemned: [{ id: 'b'.repeat(64), bytes: 100, heirs: [] }],
      unindexed: [],
      confirmed: [],
    })
    const turned = Object.fromEntries(Object.entries(value).reverse()) as typeof value
    expect(toHex(retirementBytes(turned))).toBe(toHex(retirementBytes(value)))
    expect(Buffer.from(retirementBytes(value)).toString()).toMatch(
      /^holdfast-retirement\/1\n\{"added":/,
    )
  })
})
