import { describe, expect, it, test } from 'vitest'
import { indexKey, packKey, repositoryPrefix } from './layout.ts'
import { overlap, parsePlace, placeOf } from './places.ts'

const repository = '01890000-0000-7000-8000-000000000001'
const other = '01890000-0000-7000-8000-000000000002'
const hash = 'ab'.repeat(32)

describe('a repository that lies elsewhere', () => {
  const places = { [repository]: 'old/restic/' }

  it('has all its keys there, and prefixes of them', () => {
    expect(placeOf(packKey(repository, hash), places)).toBe(`old/restic/data/ab/${hash}`)
    expect(placeOf(`${repositoryPrefix(repository)}index/`, places)).toBe('old/restic/index/')
    expect(placeOf(repositoryPrefix(repository), places)).toBe('old/restic/')
  })

  it('moves nothing else', () => {
    expect(placeOf(indexKey(other, hash), places)).toBeUndefined()
    expect(placeOf(`holdfast/v1/escrow/${repository}/1.age`, places)).toBeUndefined()
    expect(placeOf('repositories/', places)).toBeUndefined()
    expect(placeOf('', places)).toBeUndefined()
  })

  it('may be the root of a bucket', () => {
    expect(placeOf(indexKey(repository, hash), { [repository]: '' })).toBe(`index/${hash}`)
  })
})

describe('a place', () => {
  test.each([
    ['old/restic', 'old/restic/'],
    ['/old//restic/', 'old/restic/'],
    ['/', ''],
  ])('%j is %j', (text, place) => {
    expect(parsePlace(text)).toBe(place)
  })

  test.each(['../x', 'a/../b', '.hidden', 'a b', 'a\n', 'repositories/x', 'holdfast', 'a%2fb'])(
    '%j is none',
    (text) => {
      expect(parsePlace(text)).toBeUndefined()
    },
  )

  test('lies within another or not', () => {
    expect(overlap('a/', 'a/b/')).toBe(true)
    expect(overlap('', 'a/')).toBe(true)
    expect(overlap('a/', 'ab/')).toBe(false)
  })
})
