// The version of the conversation between agent and control plane: one integer, one dated line per bump.

/**
 * 1 (2026-11): first version.
 * 2 (2026-11-23): jobs of kind prune; calls proposal, retire and reconcile; listings of condemned packs and unknown snapshots;
 *   verifications that read a part of the data; limits of a run, and frames that change them; init jobs that
 *   take over a repository.
 */
export const PROTOCOL_VERSION = 2

/** The first version whose agents carry out jobs of kind prune. */
export const PRUNE_PROTOCOL_VERSION = 2

/** The first version whose agents take over repositories. */
export const ADOPT_PROTOCOL_VERSION = 2

/** The first version whose agents know limits. */
export const LIMITS_PROTOCOL_VERSION = 2

/** The oldest version this side still speaks: two versions back. */
export const OLDEST_PROTOCOL_VERSION = Math.max(1, PROTOCOL_VERSION - 2)

/** The version both sides speak, or undefined if they have none in common. */
export function commonVersion(theirs: number): number | undefined {
  return theirs >= OLDEST_PROTOCOL_VERSION ? Math.min(theirs, PROTOCOL_VERSION) : undefined
}
