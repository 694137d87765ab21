// Secrets from the environment, a file named there, or a prompt; never from arguments.
import { readFile } from 'node:fs/promises'
import { HoldfastError } from '../../shared/errors.ts'
import type { Context } from './context.ts'

/** The value of `name`, of the file `<name>_FILE` names, or what a person types. */
export async function secretInput(
  context: Pick<Context, 'env' | 'interactive' | 'ask'>,
  name: string,
  question: string,
): Promise<string> {
  const direct = context.env[name]
  if (direct !== undefined && direct !== '') return direct.trim()
  const file = context.env[`${name}_FILE`]
  if (file !== undefined) {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      throw new HoldfastError('invalid', `${name}_FILE: ${file} cannot be read (${error.code})`)
    })
    return text.trim()
  }
  if (!context.interactive) {
    throw new HoldfastError('invalid', `${name} is not set, and there is no terminal to ask`, {
      hint: `set ${name} or ${name}_FILE; a secret is never an argument, others could read it`,
    })
  }
  return context.ask(question, { hidden: true })
}
