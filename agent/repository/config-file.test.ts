import { expect, test } from 'vitest'
import { open, seal } from './cipher.ts'
import { openConfig, sealConfig } from './config-file.ts'
import { systemRandom } from './id.ts'
import { randomMasterKey } from './key-file.ts'

const key = randomMasterKey(systemRandom)
const id = 'ab'.repeat(32)
const polynomial = 0x3da3358b4dc173n
const sealed = (text: string) => seal(key, Buffer.from(text), systemRandom)

test('the config is the known text, sealed and never compressed', () => {
  const bytes = sealConfig(key, { version: 2, id, polynomial }, systemRandom)
  expect(open(key, bytes).toString()).toBe(
    `{"version":2,"id":"${id}","chunker_polynomial":"3da3358b4dc173"}`,
  )
  expect(openConfig(key, bytes)).toEqual({ version: 2, id, polynomial })
})

test('accepts what stock restic accepts', () => {
  const loose = ` {"extra":{},"chunker_polynomial":"3DA3358B4DC173","ID":"","version":1}\n`
  expect(openConfig(key, sealed(loose))).toEqual({ version: 1, id: '', polynomial })
})

test('refuses other versions, reducible polynomials, other keys and what is no config', () => {
  const cases: [Buffer, string][] = [
    [
      sealed(`{"version":3,"id":"${id}","chunker_polynomial":"3da3358b4dc173"}`),
      'unsupported-version',
    ],
    [sealed(`{"id":"${id}","chunker_polynomial":"3da3358b4dc173"}`), 'unsupported-version'],
    [sealed(`{"version":2,"id":"${id}","chunker_polynomial":"3da3358b4dc172"}`), 'damaged'],
    [sealed(`{"version":2,"id":"${id}"}`), 'damaged'],
    [sealed('[]'), 'damaged'],
    [sealed(''), 'damaged'],
    [Buffer.alloc(0), 'damaged'],
    [seal(randomMasterKey(systemRandom), Buffer.from('{}'), systemRandom), 'damaged'],
    [Buffer.alloc(100_000, 1), 'too-large'],
  ]
  for (const [bytes, code] of cases) {
    expect(() => openConfig(key, bytes)).toThrow(expect.objectContaining({ code }))
  }
})
