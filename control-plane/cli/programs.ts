// The programs the command starts. They are files to run, never modules to import.
import { fileURLToPath } from 'node:url'
import type { Program } from './children.ts'

const planeFile = fileURLToPath(new URL('../node/main.ts', import.meta.url))
const agentFile = fileURLToPath(new URL('../../agent/main.ts', import.meta.url))

export function planeProgram(
  environment: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Program {
  return { name: 'control plane', file: planeFile, arguments: args, environment }
}

export function agentProgram(
  environment: Readonly<Record<string, string>>,
  args: readonly string[],
): Program {
  return { name: 'agent', file: agentFile, arguments: args, environment }
}

/** The environment without the command's own credentials: a child has no use for them. */
export function environmentOf(env: NodeJS.ProcessEnv): Record<string, string> {
  const hidden = new Set(['HOLDFAST_TOKEN', 'HOLDFAST_TOKEN_FILE'])
  const given = Object.entries(env).filter(
    ([name, value]) => value !== undefined && !hidden.has(name),
  )
  return Object.fromEntries(given) as Record<string, string>
}
