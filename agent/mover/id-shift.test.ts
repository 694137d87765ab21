import { expect, test } from 'vitest'
import { idInside, idOutside, xattrInside, xattrOutside } from './id-shift.ts'

const SHIFT = 165_536

test.each([
  [SHIFT, 0],
  [SHIFT + 999, 999],
  [SHIFT + 65_535, 65_535],
  [SHIFT + 65_536, 65_534], // beyond the range: nobody
  [0, 65_534], // the host's own root
])('host id %d is %d in the container', (host, inside) => {
  expect(idInside(host, SHIFT)).toBe(inside)
})

test.each([0, 33, 65_535])('container id %d goes out and comes back in', (id) => {
  expect(idInside(idOutside(id, SHIFT)!, SHIFT)).toBe(id)
})

test('an id that the range cannot hold has no place on the host', () => {
  expect(idOutside(65_536, SHIFT)).toBeUndefined()
})

test('without a namespace every id is itself', () => {
  for (const id of [0, 70_000, 4_294_967_295]) {
    expect([idInside(id, 0), idOutside(id, 0)]).toEqual([id, id])
  }
})

const acl = (user: number, group: number) => {
  const value = Buffer.from('02000000010006ffffffffff020006ff11111111080004ff22222222', 'hex')
  value.writeUInt16LE(6, 6)
  value.writeUInt32LE(user, 16)
  value.writeUInt32LE(group, 24)
  return { name: Buffer.from('system.posix_acl_access'), value }
}

test('users and groups named in an ACL are shifted, the owner entry is not', () => {
  const inside = xattrInside(acl(SHIFT + 5, SHIFT + 6), SHIFT)
  expect(inside).toEqual(acl(5, 6))
  expect(xattrOutside(inside, SHIFT)).toEqual(acl(SHIFT + 5, SHIFT + 6))
})

const name = Buffer.from('security.capability')
const plain = { name, value: Buffer.from('0100000200200000000000000000000000000000', 'hex') }
const rooted = Buffer.concat([plain.value, Buffer.alloc(4)])
rooted.writeUInt32LE(0x0300_0001, 0)
rooted.writeUInt32LE(SHIFT, 20)

test("a program's capabilities lose their namespace on the way in and get it on the way out", () => {
  expect(xattrInside({ name, value: rooted }, SHIFT)).toEqual(plain)
  expect(xattrOutside(plain, SHIFT)).toEqual({ name, value: rooted })
})

test('capabilities of another namespace and all other attributes stay as they are', () => {
  expect(xattrInside({ name, value: rooted }, SHIFT + 1).value).toEqual(rooted)
  const other = { name: Buffer.from('user.x'), value: Buffer.from('abc') }
  expect(xattrInside(other, SHIFT)).toBe(other)
  expect(xattrOutside(other, SHIFT)).toBe(other)
})
