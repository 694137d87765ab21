import { statfsSync } from 'node:fs'

/**
 * File systems whose content lives in the kernel or in memory: what lies beneath such a mount point
 * is no data of anybody's. By the magic numbers of <linux/magic.h>.
 */
const notOnDisk: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x6265_6572, // sysfs
  0x0102_1994, // tmpfs and devtmpfs: gone at the next start anyway
  0x8584_58f6, // ramfs
  0x1cd1, // devpts
  0x0027_e0eb, // cgroup
  0x6367_7270, // cgroup2
  0x7363_6673, // securityfs
  0x6462_6720, // debugfs
  0x7472_6163, // tracefs
  0xcafe_4a11, // bpf
  0x6165_676c, // pstore
  0x1980_0202, // mqueue
  0x9584_58f6, // hugetlbfs
  0x6265_6570, // configfs
  0x6573_5543, // fusectl
  0x4249_4e4d, // binfmt_misc
  0x0187, // autofs: an automount point that nobody uses right now
  0xde5e_81e4, // efivarfs
  0x6e73_6673, // nsfs
])

/** Whether the file system at `path` keeps its files on some disk, here or elsewhere. */
export function isOnDisk(path: Buffer | string): boolean {
  return !notOnDisk.has(statfsSync(path).type >>> 0)
}
