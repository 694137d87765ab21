// What every verb is given: the API, the output, and the world around the command.
import { createInterface } from 'node:readline/promises'
import { HoldfastError } from '../../shared/errors.ts'
import { type Api, connect } from './api.ts'
import { createOutput, type Output } from './output.ts'
import { readSettings } from './settings.ts'

export interface Context {
  readonly env: NodeJS.ProcessEnv
  readonly output: Output
  /** Connects at the first call: verbs that need no control plane work without one. */
  api(): Promise<Api>
  /** Aborted by Ctrl-C and by SIGTERM. */
  readonly signal: AbortSignal
  /** Asks a person on the terminal. Rejects with `invalid` when there is none. */
  ask(question: string, options?: { hidden?: boolean }): Promise<string>
  /** Is somebody watching? */
  readonly interactive: boolean
  exitCode: number
}

export function createContext(options: {
  json: boolean
  env: NodeJS.ProcessEnv
  signal: AbortSignal
}): Context {
  const { env, signal } = options
  let api: Promise<Api> | undefined
  return {
    env,
    signal,
    output: createOutput({
      json: options.json,
      out: (line) => process.stdout.write(`${line}\n`),
      err: (line) => process.stderr.write(`${line}\n`),
    }),
    api: () => {
      api ??= readSettings(env).then(connect)
      return api
    },
    ask,
    interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    exitCode: 0,
  }
}

async function ask(question: string, { hidden = false } = {}): Promise<string> {
  if (process.stdin.isTTY !== true) {
    throw new HoldfastError('invalid', `"${question}" cannot be asked: there is no terminal`)
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr, terminal: true })
  if (hidden) muteEcho(prompt, question)
  try {
    return (await prompt.question(question)).trim()
  } finally {
    prompt.close()
    if (hidden) process.stderr.write('\n')
  }
}

/** Typed characters are not shown; the question itself is. */
function muteEcho(prompt: object, question: string): void {
  const writer = prompt as { _writeToOutput?: (text: string) => void }
  writer._writeToOutput = (text) => {
    if (text.includes(question)) process.stderr.write(question)
  }
}
