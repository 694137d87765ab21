import { scryptSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { RepositoryError } from './errors.ts'
import { systemRandom } from './id.ts'
import {
  encodeKeyFile,
  keyFileLimit,
  openKeyFile,
  passwordKey,
  randomMasterKey,
} from './key-file.ts'

const cheap = { N: 2, r: 1, p: 1 }

async function sample(password = 'pw', cost = cheap) {
  const masterKey = randomMasterKey(systemRandom)
  const bytes = await encodeKeyFile({
    password,
    masterKey,
    created: Date.UTC(2024, 1, 3, 4, 5, 6, 789),
    username: 'root',
    hostname: 'db"1',
    random: systemRandom,
    cost,
  })
  return { masterKey, bytes }
}

/** The same key file with some fields changed. */
function changed(bytes: Buffer, fields: object): Buffer {
  return Buffer.from(JSON.stringify({ ...JSON.parse(bytes.toString()), ...fields }))
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (error instanceof RepositoryError) return error.code
    throw error
  }
  return 'none'
}

describe('key files', () => {
  test('a password yields the known key', async () => {
    const key = await passwordKey('testpw', Buffer.alloc(64), { N: 32768, r: 8, p: 1 })
    expect(key.encrypt.toString('hex')).toBe(
      '9f95f83a7e8315756183407e01d3655ff8da5e028e1d6aa966be373c3b4907b7',
    )
    expect(key.macK.toString('hex')).toBe('05869288eef92f6e2a230be68ebdbb7e')
    expect(key.macR.toString('hex')).toBe('143a8949ef52425da7e310c906e60298')
  })

  test('a password outside ASCII is taken as UTF-8', async () => {
    const key = await passwordKey('pässwörd', Buffer.alloc(64), cheap)
    const expected = scryptSync(Buffer.from('pässwörd', 'utf8'), Buffer.alloc(64), 64, cheap)
    expect(Buffer.concat([key.encrypt, key.macK, key.macR]).equals(expected)).toBe(true)
  })

  test('what was written opens with its password and with no other', async () => {
    const { masterKey, bytes } = await sample('correct')
    expect(await openKeyFile(bytes, 'correct')).toEqual(masterKey)
    expect(await openKeyFile(bytes, 'Correct')).toBeUndefined()
    expect(await openKeyFile(bytes, '')).toBeUndefined()
  })

  test("has Go's field order and no final newline", async () => {
    const { bytes } = await sample()
    expect(bytes.toString()).toMatch(
      /^\{"created":"2024-02-03T04:05:06\.789Z","username":"root","hostname":"db\\"1","kdf":"scrypt","N":2,"r":1,"p":1,"salt":"[^"]{88}","data":"[^"]+"\}$/,
    )
  })

  test('opens without what people may leave out, and with what they may add', async () => {
    const { masterKey, bytes } = await sample()
    const { created: _c, username: _u, hostname: _h, ...rest } = JSON.parse(bytes.toString())
    const lean = Buffer.from(JSON.stringify({ extra: [1], ...rest }))
    expect(await openKeyFile(lean, 'pw')).toEqual(masterKey)
  })

  test('refuses other functions, bad salts and costs nobody should pay', async () => {
    const { bytes } = await sample()
    const cases: [object, string][] = [
      [{ kdf: 'argon2' }, 'unsupported-version'],
      [{ salt: Buffer.alloc(63).toString('base64') }, 'damaged'],
      [{ salt: '***' }, 'damaged'],
      [{ data: 5 }, 'damaged'],
      [{ data: null }, 'damaged'],
      [{ N: 0 }, 'damaged'],
      [{ N: 3 }, 'damaged'],
      [{ N: -2 }, 'damaged'],
      [{ r: 0 }, 'damaged'],
      [{ p: 0 }, 'damaged'],
      [{ N: 2 ** 30 }, 'too-large'],
      [{ N: 2 ** 24, r: 8 }, 'too-large'],
      [{ p: 2 ** 31 }, 'too-large'],
      [{ N: 2 ** 16, r: 1, p: 1024 }, 'too-large'],
    ]
    for (const [fields, code] of cases) {
      expect(await codeOf(openKeyFile(changed(bytes, fields), 'pw')), JSON.stringify(fields)).toBe(
        code,
      )
    }
    expect(await codeOf(openKeyFile(Buffer.alloc(keyFileLimit + 1, 0x20), 'pw'))).toBe('too-large')
  })

  test('a changed sealed key reads as another password, never as a key', async () => {
    const { bytes } = await sample()
    const data = Buffer.from(JSON.parse(bytes.toString()).data, 'base64')
    data[20]! ^= 1
    expect(
      await openKeyFile(changed(bytes, { data: data.toString('base64') }), 'pw'),
    ).toBeUndefined()
  })
})
