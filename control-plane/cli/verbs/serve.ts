import type { Command } from 'commander'
import { HoldfastError } from '../../../shared/errors.ts'
import { keepRunning, runOnce } from '../children.ts'
import type { Context } from '../context.ts'
import { environmentOf, planeProgram } from '../programs.ts'
import { writeSettings } from '../settings.ts'

export function addServe(program: Command, context: () => Context): void {
  program
    .command('serve')
    .description(
      'Run the control plane in the foreground; the environment configures it (HOLDFAST_DATA, HOLDFAST_PUBLIC_URL, …)',
    )
    .option('--init', 'make the first vault and an admin token, print it once, and end')
    .option('--another', 'with --init: one more admin token although there is one')
    .action(async (options: { init?: boolean; another?: boolean }) => {
      const ctx = context()
      const environment = environmentOf(ctx.env)
      if (!options.init) {
        await keepRunning(planeProgram(environment), ctx.signal, ctx.output.note)
        return
      }
      const { url, token } = await initialise(environment, options.another ?? false)
      if (token === undefined) {
        throw new HoldfastError('already-exists', 'there is an admin token already', {
          hint: '`holdfast serve --init --another` makes one more',
        })
      }
      const file = await writeSettings(ctx.env, { url, token })
      ctx.output.one(
        { url, token, settings: file },
        `Control plane  ${url}\nAdmin token    ${token}\n\nShown once. ${file} holds it for this user's commands.`,
      )
    })
}

/** First vault, first admin token. No token when there is one already. */
export async function initialise(
  environment: Readonly<Record<string, string>>,
  another: boolean,
): Promise<{ url: string; token: string | undefined }> {
  const { code, stdout } = await runOnce(
    planeProgram(environment, ['init', ...(another ? ['--another'] : [])]),
    '',
  )
  if (code !== 0)
    throw new HoldfastError(
      'internal',
      'the control plane could not be set up; its message is above',
    )
  return JSON.parse(stdout) as { url: string; token: string | undefined }
}
