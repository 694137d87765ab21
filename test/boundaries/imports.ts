// Finds what a source file imports. A scan for the few forms that name another file, not a parser: they all stand
// at the beginning of a line or inside `import(…)`, because the formatter puts them there.

export interface Import {
  readonly specifier: string
  /** Vanishes at run time: `import type`, `export type`, `typeof import(…)`. */
  readonly typeOnly: boolean
}

const statement =
  /^[ \t]*(?:import|export)\b(?<type>\s+type\b(?!\s*(?:=|from\b)))?(?:[^'";=()]*?\bfrom)?\s*['"](?<specifier>[^'"]+)['"]/gm
const call =
  /(?<type>\btypeof\s+)?\b(?:import|require|import\.meta\.resolve)\(\s*['"`](?<specifier>[^'"`]+)['"`]/g

/** Every import of a TypeScript source, in no particular order. Comments do not count. */
export function importsOf(source: string): Import[] {
  const code = withoutComments(source)
  return [statement, call].flatMap((form) =>
    [...code.matchAll(form)].map(({ groups }) => ({
      specifier: groups?.specifier ?? '',
      typeOnly: groups?.type !== undefined,
    })),
  )
}

/** The source without `//` and block comments; what looks like one inside a URL stays. */
export function withoutComments(source: string): string {
  return source.replace(/^[ \t]*\/\*[\s\S]*?\*\//gm, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}
