// How the mover process ends. Each job's outcome was reported before; this is for the supervisor's log.

export const exitCodes = {
  /** Every job of the batch has its `done`. */
  finished: 0,
  /** The first line was unusable. */
  usage: 2,
  /** A fault of ours; jobs without `done` are lost. */
  internal: 70,
  /** The supervisor closed stdin: it is gone, so are we. */
  orphaned: 75,
} as const
