import { expect, test } from 'vitest'
import { createSeeded } from '../../test/support/seeded.ts'
import { systemRandom } from './id.ts'
import { accountsText, encodePlainFile, type PlainFile } from './plain-file.ts'
import { encodeNode, type TreeNode } from './tree.ts'

test('a plain file is written as its node is', () => {
  const seed = systemRandom(8).toString('hex')
  const random = createSeeded(`plain ${seed}`)
  const word = () => random.pick([0, 1, 0x7fff_ffff, 0xffff_ffff, random.between(0, 2 ** 32 - 1)])
  const second = () => random.pick([0, -1, 1_700_000_000, -62_135_596_800, 253_402_300_799, word()])
  const fraction = () =>
    random.pick([0, 1, 100_000_000, 999_999_999, random.between(0, 999_999_999)])
  for (let round = 0; round < 5_000; round++) {
    const name = random.oneIn(2)
      ? 'plain.txt'
      : random.bytes(random.between(1, 9)).toString('latin1')
    const user = random.pick([undefined, 'root', 'a<b', '\u00fc'])
    const group = random.pick([undefined, 'staff', 'q"'])
    const file: PlainFile = {
      name,
      mode: word(),
      modifiedSeconds: second(),
      modifiedNanoseconds: fraction(),
      changedSeconds: second(),
      changedNanoseconds: fraction(),
      uid: word(),
      gid: word(),
      accounts: accountsText(user, group),
      inodeHigh: random.pick([0, 5, 2 ** 21, 2 ** 32 - 1]),
      inodeLow: word(),
      size: random.pick([0, 1, 2 ** 40, word()]),
    }
    const content = Array.from({ length: random.between(0, 2) }, () =>
      random.bytes(32).toString('hex'),
    )
    const mtime = BigInt(file.modifiedSeconds) * 1_000_000_000n + BigInt(file.modifiedNanoseconds)
    const node: TreeNode = {
      name: Buffer.from(name, 'latin1'),
      type: 'file',
      mode: file.mode,
      mtime,
      atime: mtime,
      ctime: BigInt(file.changedSeconds) * 1_000_000_000n + BigInt(file.changedNanoseconds),
      uid: file.uid,
      gid: file.gid,
      ...(user !== undefined && { user }),
      ...(group !== undefined && { group }),
      inode: (BigInt(file.inodeHigh) << 32n) + BigInt(file.inodeLow),
      size: BigInt(file.size),
      links: 1n,
      content,
    }
    expect(encodePlainFile(file, content), `seed ${seed}`).toBe(encodeNode(node))
  }
})

test('a plain file without the ids of its chunks is none', () => {
  const zero = { mode: 0, uid: 0, gid: 0, size: 0, inodeHigh: 0, inodeLow: 1 }
  const times = {
    modifiedSeconds: 0,
    modifiedNanoseconds: 0,
    changedSeconds: 0,
    changedNanoseconds: 0,
  }
  const file = { name: 'a', accounts: '', ...zero, ...times }
  expect(() => encodePlainFile(file, ['x'])).toThrow('content')
})
