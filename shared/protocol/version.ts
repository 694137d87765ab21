// The version of the conversation between agent and control plane: one integer, one dated line per bump.

/** 1 (2026-11): first version. */
export const PROTOCOL_VERSION = 1

/** The oldest version this side still speaks: two versions back. */
export const OLDEST_PROTOCOL_VERSION = Math.max(1, PROTOCOL_VERSION - 2)

/** The version both sides speak, or undefined if they have none in common. */
export function commonVersion(theirs: number): number | undefined {
  return theirs >= OLDEST_PROTOCOL_VERSION ? Math.min(theirs, PROTOCOL_VERSION) : undefined
}
