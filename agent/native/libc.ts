// The C library of this very process, for the system calls that Node does not offer.

import koffi from 'koffi'
import { SyscallError } from './syscall-error.ts'

/**
 * The symbols already loaded into this process. Asking the process itself rather than opening a file
 * by name finds glibc (`libc.so.6`) and musl (`libc.musl-*.so.1`) alike, and never a second copy.
 */
const own = koffi.load(null)

type Argument = number | bigint | Buffer | null

/** Bind the C function `name`. Its result is a number; −1 means that errno holds the cause. */
export function bind(
  name: string,
  result: 'int' | 'int64_t',
  parameters: readonly string[],
): (...values: Argument[]) => number {
  return own.func(name, result, [...parameters])
}

/** Like `bind` with `checked`, but the call runs on another thread: for those that may take seconds. */
export function bindAsync(
  name: string,
  result: 'int' | 'int64_t',
  parameters: readonly string[],
): (...values: Argument[]) => Promise<number> {
  const call = own.func(name, result, [...parameters])
  return (...values) =>
    new Promise((resolve, reject) => {
      call.async(...values, (failure: unknown, answer: number) => {
        if (failure) return reject(failure)
        try {
          resolve(checked(name, answer)) // errno is the other thread's for the length of this callback
        } catch (error) {
          reject(error)
        }
      })
    })
}

/** Like `bind`, but undefined where this C library does not export `name`. */
export function bindIfPresent(
  name: string,
  result: 'int' | 'int64_t',
  parameters: readonly string[],
): ((...values: Argument[]) => number) | undefined {
  try {
    return bind(name, result, parameters)
  } catch {
    return undefined
  }
}

/**
 * Pass a call's result through, or throw what errno says if it is −1. Must be the first thing done
 * with the result: errno lasts only until the next system call.
 */
export function checked(syscall: string, result: number): number {
  if (result !== -1) return result
  throw new SyscallError(syscall, koffi.errno())
}

/** Whether errno is `errno`, right after a call that answered −1. */
export function lastErrorIs(errno: number): boolean {
  return koffi.errno() === errno
}

/** The path as C wants it: its bytes and a closing NUL. A NUL inside would cut it short, so it is refused. */
export function cPath(path: Buffer | string): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path) : path
  if (bytes.includes(0)) throw new RangeError('a path cannot hold a NUL byte')
  const ended = Buffer.allocUnsafe(bytes.length + 1)
  bytes.copy(ended)
  ended[bytes.length] = 0
  return ended
}

/** `AT_FDCWD` of <fcntl.h>, the same on every Linux: the path starts where the process stands. */
export const AT_FDCWD = -100

/** Numbers of system calls that some C libraries do not wrap, by Node's name of the architecture. */
const numbers: Record<string, Partial<Record<string, number>>> = {
  ioprio_set: { x64: 251, arm64: 30 },
  ioprio_get: { x64: 252, arm64: 31 },
  renameat2: { x64: 316, arm64: 276 },
}

const rawSyscall = bind('syscall', 'int64_t', [
  'int64_t',
  'int64_t',
  'void *',
  'int64_t',
  'void *',
  'int64_t',
])
const rawNumeric = bind('syscall', 'int64_t', ['int64_t', 'int64_t', 'int64_t', 'int64_t'])

function numberOf(name: string): number {
  const number = numbers[name]?.[process.arch]
  if (number === undefined) throw new SyscallError(name, 38) // ENOSYS, also on an architecture we do not know
  return number
}

/** A system call of three whole numbers, by name. */
export function numericSyscall(name: string, a: number, b: number, c: number): number {
  return checked(name, rawNumeric(numberOf(name), a, b, c))
}

/** A system call shaped like renameat2: descriptor, path, descriptor, path, flags. */
export function twoPathSyscall(name: string, from: Buffer, to: Buffer, flags: number): number {
  return checked(name, rawSyscall(numberOf(name), AT_FDCWD, from, AT_FDCWD, to, flags))
}
