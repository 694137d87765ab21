import { describe, expect, it } from 'vitest'
import { createOutput, formatBytes, formatDuration, printable } from './output.ts'

function captured(json: boolean) {
  const out: string[] = []
  const err: string[] = []
  return {
    out,
    err,
    output: createOutput({ json, out: (line) => out.push(line), err: (line) => err.push(line) }),
  }
}

describe('what the command prints', () => {
  it('is a table without lines for people', () => {
    const { output, out } = captured(false)
    output.list(
      [
        { name: 'a', n: 1 },
        { name: 'longer', n: 20 },
      ],
      [
        ['NAME', (one) => one.name],
        ['N', (one) => String(one.n)],
      ],
    )
    expect(out).toEqual(['NAME    N', 'a       1', 'longer  20'])
  })

  it('is one JSON object per line for programs, without remarks', () => {
    const { output, out, err } = captured(true)
    output.list([{ a: 1 }, { a: 2 }], [['A', (one) => String(one.a)]])
    output.one({ b: 3 }, 'three')
    output.note('only for people')
    expect(out).toEqual(['{"a":1}', '{"a":2}', '{"b":3}'])
    expect(err).toEqual([])
  })

  it('lets no name from a host steer the terminal', () => {
    expect(printable('a\u001b[2Jb\r\n\u009b')).toBe('a\\x1b[2Jb\\x0d\\x0a\\x9b')
    const { output, out } = captured(false)
    output.list([{ name: '\u001b]0;x\u0007' }], [['NAME', (one) => one.name]])
    expect(out.join('\n')).not.toMatch(/[\u0007\u001b]/)
  })

  it('gives sizes and times in units people read', () => {
    expect([0, 1_023, 1_024, 1_572_864].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 MiB',
    ])
    expect([120, 59_000, 125_000, 3_720_000].map(formatDuration)).toEqual([
      '120 ms',
      '59 s',
      '2 m 05 s',
      '1 h 02 m',
    ])
  })
})
