// File modes: Unix's bits on one side, Go's portable ones (which restic stores) on the other.

export type NodeType = 'file' | 'dir' | 'symlink' | 'dev' | 'chardev' | 'fifo' | 'socket'

const goBits = { dir: 2 ** 31, symlink: 2 ** 27, device: 2 ** 26, fifo: 2 ** 25, socket: 2 ** 24 }
const goSetuid = 2 ** 23
const goSetgid = 2 ** 22
const goChar = 2 ** 21
const goSticky = 2 ** 20

// A Map, because object keys in octal do not survive every formatter.
const typeOfFormat = new Map<number, NodeType>([
  [0o140000, 'socket'],
  [0o120000, 'symlink'],
  [0o100000, 'file'],
  [0o060000, 'dev'],
  [0o040000, 'dir'],
  [0o020000, 'chardev'],
  [0o010000, 'fifo'],
])

const goTypeBits: { readonly [type in NodeType]: number } = {
  file: 0,
  dir: goBits.dir,
  symlink: goBits.symlink,
  dev: goBits.device,
  chardev: goBits.device + goChar,
  fifo: goBits.fifo,
  socket: goBits.socket,
}

/** The node type of a `st_mode`; undefined for a kind of file that Linux does not have. */
export function nodeType(stMode: number): NodeType | undefined {
  return typeOfFormat.get(stMode & 0o170000)
}

/** The Go FileMode of a `st_mode`. */
export function goMode(stMode: number): number {
  const type = nodeType(stMode)
  return (
    (stMode & 0o777) +
    (type === undefined ? 0 : goTypeBits[type]) +
    (stMode & 0o4000 ? goSetuid : 0) +
    (stMode & 0o2000 ? goSetgid : 0) +
    (stMode & 0o1000 ? goSticky : 0)
  )
}

/** Permission, setuid, setgid and sticky bits, as chmod takes them, of a Go FileMode. */
export function permissionBits(mode: number): number {
  return (
    (mode & 0o777) |
    (mode & goSetuid ? 0o4000 : 0) |
    (mode & goSetgid ? 0o2000 : 0) |
    (mode & goSticky ? 0o1000 : 0)
  )
}
