import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { policyDocument } from '../../shared/policy/document.ts'
import { matches, type Selectable, selects } from './selector.ts'

const selection = (select: object) =>
  policyDocument.parse({ apiVersion: 'holdfast/v1', kind: 'Policy', name: 'p', select }).select
const volume = (more: Partial<Selectable> = {}): Selectable => ({
  hostName: 'web-1',
  kind: 'volume',
  name: 'shop_data',
  labels: { tier: 'gold', 'com.docker.compose.project': 'shop' },
  project: 'shop',
  anonymous: false,
  unsupported: null,
  ...more,
})

describe('a pattern', () => {
  it.each([
    ['*', '', true],
    ['*', 'anything', true],
    ['web-*', 'web-', true],
    ['web-*', 'web', false],
    ['?eb-1', 'web-1', true],
    ['?', '', false],
    ['*data*', 'shop_data_2', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['a.c', 'abc', false],
    ['[ab]', 'a', false],
    ['[ab]', '[ab]', true],
    ['', '', true],
    ['', 'x', false],
  ])('"%s" against "%s" is %s', (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected)
  })

  it('agrees with a regular expression on any input', () => {
    const letter = fc.constantFrom('a', 'b', '*', '?', '.')
    const word = fc.array(letter, { maxLength: 8 }).map((letters) => letters.join(''))
    fc.assert(
      fc.property(
        word,
        fc.array(fc.constantFrom('a', 'b', '.'), { maxLength: 8 }),
        (pattern, letters) => {
          const text = letters.join('')
          const source = pattern.replace(/\./g, '\\.').replace(/\*/g, '.*').replace(/\?/g, '.')
          expect(matches(pattern, text)).toBe(new RegExp(`^${source}$`).test(text))
        },
      ),
    )
  })

  it('does not blow up on many stars', () => {
    const started = performance.now()
    expect(matches('*a'.repeat(50), `${'a'.repeat(200)}b`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(1_000)
  })
})

describe('a selection', () => {
  it.each<[string, object, Partial<Selectable>, boolean]>([
    ['names', { volumes: ['shop_*'] }, {}, true],
    ['other names', { volumes: ['blog_*'] }, {}, false],
    ['a label', { labels: { tier: 'g*' } }, {}, true],
    ['all labels, one of which differs', { labels: { tier: 'gold', zone: '*' } }, {}, false],
    ['a project', { projects: ['shop'] }, {}, true],
    ['a project, of a volume without one', { projects: ['*'] }, { project: null }, false],
    ['hosts that match', { hosts: ['web-*'], volumes: ['*'] }, {}, true],
    ['hosts that do not', { hosts: ['db-*'], volumes: ['*'] }, {}, false],
    ['excluded names', { volumes: ['*'], exclude: ['*_data'] }, {}, false],
    [
      'everything, with one that cannot be backed up',
      { volumes: ['*'] },
      { unsupported: 'tmpfs' },
      false,
    ],
    ['everything, with one without a name', { volumes: ['*'] }, { anonymous: true }, false],
    [
      'everything, also without names',
      { volumes: ['*'], anonymous: true },
      { anonymous: true },
      true,
    ],
    ['labels named like a method', { labels: { toString: '*' } }, {}, false],
    ['its directory', { directories: ['/srv'] }, { kind: 'directory', name: '/srv' }, true],
    ['a directory below', { directories: ['/srv'] }, { kind: 'directory', name: '/srv/a' }, false],
    [
      'volumes, asked for a directory',
      { volumes: ['*'] },
      { kind: 'directory', name: '/srv' },
      false,
    ],
  ])('of %s', (_of, select, more, expected) => {
    expect(selects(selection(select), volume(more))).toBe(expected)
  })
})
