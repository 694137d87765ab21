import { numericSyscall } from './libc.ts'

/** Classes of <linux/ioprio.h>; only schedulers that know priorities (bfq) heed them. */
const classes = { normal: 2, idle: 3 } as const
/** `IOPRIO_WHO_PROCESS`: with id 0 the calling thread; threads started later inherit it. */
const PROCESS = 1
const CLASS_SHIFT = 13

export type IoPriority = { readonly class: 'idle' } | { readonly class: 'normal'; level: number }

/**
 * Set the disk priority of a thread (0: this one) and of all threads and processes it starts afterwards; call it
 * before the first file is opened asynchronously. `level` is 0 (first) … 7 (last), 4 being what everyone has.
 */
export function setIoPriority(priority: IoPriority, thread = 0): void {
  const level = priority.class === 'normal' ? priority.level : 0
  numericSyscall('ioprio_set', PROCESS, thread, (classes[priority.class] << CLASS_SHIFT) | level)
}

/** The disk priority of this thread; undefined if none was ever set. */
export function getIoPriority(): IoPriority | undefined {
  const raw = numericSyscall('ioprio_get', PROCESS, 0, 0)
  if (raw >> CLASS_SHIFT === classes.idle) return { class: 'idle' }
  if (raw >> CLASS_SHIFT === classes.normal) return { class: 'normal', level: raw & 7 }
  return undefined
}
