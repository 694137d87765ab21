import { HoldfastError } from '../../shared/errors.ts'
import { isLegalName } from '../repository/tree.ts'

/** Which entries of a directory are wanted. `whole`: all of them and all below. */
export interface Selection {
  readonly whole: boolean
  /** By name, one character per byte; of no meaning where `whole`. */
  readonly children: ReadonlyMap<string, Selection>
}

interface Growing extends Selection {
  whole: boolean
  readonly children: Map<string, Growing>
}

const everything: Selection = { whole: true, children: new Map() }

/**
 * Select raw paths (`db/table`) with all below them; none at all selects everything. Slashes at the ends do not
 * matter. Throws `invalid` for a path with `.`, `..` or a NUL in it.
 */
export function selectPaths(paths: readonly Buffer[]): Selection {
  if (paths.length === 0) return everything
  const root: Growing = { whole: false, children: new Map() }
  for (const path of paths) {
    let at = root
    for (const name of path.toString('latin1').split('/')) {
      if (name === '') continue
      if (!isLegalName(Buffer.from(name, 'latin1'))) {
        throw new HoldfastError('invalid', 'a path to restore has a component that is . or ..')
      }
      const next = at.children.get(name) ?? { whole: false, children: new Map() }
      at.children.set(name, next)
      at = next
    }
    at.whole = true
  }
  return root.whole ? everything : root
}

/** The selection within an entry of a directory, or undefined if the entry is not wanted. */
export function selectionOf(within: Selection, name: Buffer): Selection | undefined {
  return within.whole ? within : within.children.get(name.toString('latin1'))
}
