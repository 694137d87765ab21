// Which sources a policy covers. Pure.
import type { PolicyDocument } from '../../shared/policy/document.ts'
import { nameParts, parseVolumeName } from '../../shared/policy/volume-name.ts'

export type Selection = PolicyDocument['select']

export interface Selectable {
  readonly hostName: string
  readonly kind: 'volume' | 'directory'
  /** Volume name, or absolute path. */
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly project: string | null
  readonly anonymous: boolean
  readonly unsupported: string | null
}

/** `*` any run of characters, `?` one, everything else itself; the whole text must match. */
export function matches(pattern: string, text: string): boolean {
  // Greedy with one point to fall back to: linear in practice, never exponential.
  let p = 0
  let t = 0
  let star = -1
  let mark = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++
      mark = t
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++
      t++
    } else if (star >= 0) {
      p = star + 1
      t = ++mark
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}

/**
 * A directory is covered when the policy names its path. A volume is covered when its name, the parts
 * of its name, all the labels or its project match, unless it is excluded, cannot be backed up, or has no name and nobody asked for those.
 */
export function selects(selection: Selection, source: Selectable): boolean {
  const any = (patterns: readonly string[], text: string) =>
    patterns.some((pattern) => matches(pattern, text))
  if (!any(selection.hosts, source.hostName)) return false
  if (source.kind === 'directory') return selection.directories.includes(source.name)
  if (source.unsupported !== null) return false
  if (source.anonymous && !selection.anonymous) return false
  if (any(selection.exclude, source.name)) return false
  const labels = Object.entries(selection.labels)
  return (
    any(selection.volumes, source.name) ||
    (source.project !== null && any(selection.projects, source.project)) ||
    selection.names.some((parts) => named(parts, source.name)) ||
    (labels.length > 0 &&
      labels.every(
        ([label, pattern]) =>
          Object.hasOwn(source.labels, label) && matches(pattern, source.labels[label]!),
      ))
  )
}

/** Every part that is given must match the part of the name; a name outside the convention matches nothing. */
function named(parts: Selection['names'][number], name: string): boolean {
  const parsed = parseVolumeName(name)
  if (parsed === undefined) return false
  return nameParts.every((part) => {
    const pattern = parts[part]
    return pattern === undefined || matches(pattern, parsed[part])
  })
}
