/** What `npm test` and `npm run test:all` were told. */
export interface RunArguments {
  /** The long proofs too. */
  readonly all: boolean
  /** `n/m`: the n-th of m equal parts of the test files. */
  readonly part: string | undefined
  /** For vitest, as they are. */
  readonly rest: readonly string[]
}

/** Reads the command line; throws on a part that is none. */
export function parseArguments(words: readonly string[]): RunArguments {
  let all = false
  let part: string | undefined
  const rest: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string
    if (word === '--all') all = true
    else if (word === '--part') part = checkPart(words[++i] ?? '')
    else if (word.startsWith('--part=')) part = checkPart(word.slice('--part='.length))
    else if (word !== '--') rest.push(word)
  }
  return { all, part, rest }
}

function checkPart(text: string): string {
  const [, n, m] = /^(\d+)\/(\d+)$/.exec(text) ?? []
  if (n !== undefined && m !== undefined && Number(n) >= 1 && Number(n) <= Number(m)) return text
  throw new Error(`--part wants n/m with n from 1 to m, as in 2/3; it got '${text}'`)
}
