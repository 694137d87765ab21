import { describe, expect, it } from 'vitest'
import { formatSource, parseSource, snapshotPath } from './source.ts'

describe('a source', () => {
  it('is read back as it was written', () => {
    const sources = [
      { kind: 'volume', name: 'pg_data.1' },
      { kind: 'directory', path: '/srv/a b/ü:x' },
    ] as const
    for (const source of sources) expect(parseSource(formatSource(source))).toEqual(source)
  })

  it('has one stable path in snapshots', () => {
    expect(snapshotPath({ kind: 'volume', name: 'pgdata' })).toBe('/volumes/pgdata')
    expect(snapshotPath({ kind: 'directory', path: '/srv/x' })).toBe('/srv/x')
  })

  it('with a path that could lead elsewhere is refused', () => {
    for (const text of [
      'directory:srv',
      'directory:/srv/../etc',
      'directory:/srv//x',
      'directory:/srv/.',
      'volume:../x',
      'volume:',
      'mysql:x',
      'x',
    ]) {
      expect(() => parseSource(text), text).toThrow()
    }
  })
})
