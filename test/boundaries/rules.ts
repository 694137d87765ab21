// The rules themselves, as functions of a set of sources, so that a test can show each of them catching somebody.

import { posix } from 'node:path'
import { importsOf, withoutComments } from './imports.ts'
import { clockworks, type Room, replayable, table, testsToo } from './table.ts'

/** Path below the project's root, with forward slashes → content. */
export type Sources = ReadonlyMap<string, string>

/** Lines a file may have before it must say why. */
const longestFile = 400

const isTest = (path: string) => path.endsWith('.test.ts')
const within = (path: string, room: string) => path === room || path.startsWith(`${room}/`)

/** The room a path belongs to, or undefined if the table knows none. */
export function roomOf(path: string): string | undefined {
  return Object.keys(table)
    .filter((room) => within(path, room))
    .sort((a, b) => b.length - a.length)[0]
}

/** Does one of these names mean that room? A name means the rooms below it too, `*` all of them. */
function names(list: readonly string[], room: string): boolean {
  return list.some((name) => name === '*' || within(room, name))
}

/** Every import the table does not allow, one sentence each. */
export function importViolations(sources: Sources): string[] {
  return [...sources].flatMap(([path, source]) => {
    const room = roomOf(path)
    if (room === undefined)
      return [`${path} lies in no room of test/boundaries/table.ts: give it one`]
    const rules = table[room] as Room
    return importsOf(source).flatMap(({ specifier, typeOnly }) => {
      const complaint = judge(path, room, rules, specifier, typeOnly)
      return complaint === undefined
        ? []
        : [`${path} imports '${specifier}': ${complaint}, because ${rules.because}`]
    })
  })
}

function judge(
  path: string,
  room: string,
  rules: Room,
  specifier: string,
  typeOnly: boolean,
): string | undefined {
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier)
    if (isTest(path) && testsToo.rooms.some((allowed) => within(target, allowed))) return undefined
    const other = roomOf(target)
    if (other === undefined) return `${target} lies in no room`
    if (other === room || names(rules.rooms, other)) return undefined
    if (names(rules.types, other))
      return typeOnly ? undefined : `${room} may import only types from ${other}`
    return `${room} may not import ${other}`
  }
  if (specifier.startsWith('node:'))
    return rules.node || isTest(path) ? undefined : `${room} may not use Node's modules`
  if (specifier.startsWith('/') || specifier.startsWith('file:'))
    return 'a path of this machine is on no other'
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  if (names(rules.packages, name)) return undefined
  if (isTest(path) && (testsToo.packages as readonly string[]).includes(name)) return undefined
  return `${room} may not use the package ${name}`
}

/** The first circle among the rooms, as a path, or undefined. */
export function circle(rooms: Readonly<Record<string, Room>>): string[] | undefined {
  const finished = new Set<string>()
  const visit = (room: string, path: string[]): string[] | undefined => {
    if (path.includes(room)) return [...path.slice(path.indexOf(room)), room]
    if (finished.has(room)) return undefined
    const { rooms: values, types } = rooms[room] as Room
    const next = Object.keys(rooms).filter(
      (other) => other !== room && names([...values, ...types], other),
    )
    for (const other of next) {
      const found = visit(other, [...path, room])
      if (found !== undefined) return found
    }
    finished.add(room)
    return undefined
  }
  for (const room of Object.keys(rooms)) {
    const found = visit(room, [])
    if (found !== undefined) return found
  }
  return undefined
}

/** A look at the clock or the dice, where both must be handed in so that a run can be replayed from a seed. */
const clockUse =
  /\b(Date\.now|new Date(?=\(\))|Math\.random|performance\.now|process\.hrtime|setTimeout|setInterval|setImmediate|randomBytes|randomUUID|getRandomValues)\b/

export function clockViolations(sources: Sources): string[] {
  return [...sources].flatMap(([path, source]) => {
    if (isTest(path) || path in clockworks || !replayable.some((room) => within(path, room)))
      return []
    return withoutComments(source)
      .split('\n')
      .flatMap((line) => {
        const found = clockUse.exec(line)?.[0]
        return found === undefined
          ? []
          : [
              `${path} uses ${found}: time and randomness are handed in here, so that a run can be replayed`,
            ]
      })
  })
}

export function lengthViolations(sources: Sources): string[] {
  return [...sources].flatMap(([path, source]) => {
    const lines = source.trimEnd().split('\n')
    if (lines.length <= longestFile) return []
    if (lines.slice(0, 10).some((line) => line.includes('// Long because:'))) return []
    return [`${path} has ${lines.length} lines: split it, or begin it with '// Long because: …'`]
  })
}

/** A literal path that only some machines have: somebody's home, a checkout, a scratch folder. */
const machinePath = /['"`](\/(?:work|home|Users|root|tmp|private)\/[^'"`\s]*)/

export function machinePathViolations(sources: Sources): string[] {
  return [...sources].flatMap(([path, source]) => {
    const found = machinePath.exec(withoutComments(source))?.[1]
    return found === undefined || isTest(path)
      ? []
      : [`${path} names ${found}, which only some machine has`]
  })
}
