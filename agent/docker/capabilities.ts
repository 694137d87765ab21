// What the kernel lets this process do (capabilities(7)).
import { readFileSync } from 'node:fs'

/** Bit numbers of <linux/capability.h>. */
const bits = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  DAC_READ_SEARCH: 2,
  FOWNER: 3,
  FSETID: 4,
  MKNOD: 27,
  SETFCAP: 31,
} as const
export type Capability = keyof typeof bits

/** Reading files of any owner. */
export const READING: readonly Capability[] = ['DAC_READ_SEARCH']
/** Writing files of any owner, mode and kind. */
export const RESTORING: readonly Capability[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'MKNOD',
  'SETFCAP',
]

/** Those of `wanted` that the `CapEff` line of a /proc/<pid>/status text lacks. Pure. */
export function lacking(status: string, wanted: readonly Capability[]): Capability[] {
  const digits = /^CapEff:\s*([0-9a-fA-F]+)$/m.exec(status)?.[1]
  const effective = digits === undefined ? 0n : BigInt(`0x${digits}`)
  return wanted.filter((name) => (effective & (1n << BigInt(bits[name]))) === 0n)
}

/** Those of `wanted` that this process lacks. DAC_OVERRIDE reads whatever DAC_READ_SEARCH would. */
export function missingCapabilities(wanted: readonly Capability[]): Capability[] {
  const status = readFileSync('/proc/self/status', 'utf8')
  const missing = lacking(status, wanted)
  const overrides = lacking(status, ['DAC_OVERRIDE']).length === 0
  return overrides ? missing.filter((name) => name !== 'DAC_READ_SEARCH') : missing
}
