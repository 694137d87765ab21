// `holdfast-agent`: the command line.
import { enableCompileCache } from 'node:module'
import { Command, Option } from 'commander'
import { HoldfastError } from '../shared/errors.ts'
import { describeError } from './log/scrub.ts'
import { version } from './main/version.ts'
import { openStateDirectory, stateFiles } from './state/directory.ts'
import { askOwner } from './state/sole-owner.ts'

/** What other users of this machine can read in the list of processes is no place for a secret. */
function refuseToken(): never {
  throw new HoldfastError('invalid', 'a token is never given as an argument: others can read it', {
    hint: 'make a new one and pipe it to stdin, or set HOLDFAST_ENROLL_TOKEN or HOLDFAST_ENROLL_TOKEN_FILE',
  })
}

/** Aborted by the signals that ask a service to stop. */
function stopSignal(): AbortSignal {
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => stop.abort(new HoldfastError('cancelled', `stopped by ${name}`)))
  }
  return stop.signal
}

async function stateDirectoryOf(options: { state?: string }): Promise<string> {
  if (options.state !== undefined) return options.state
  const { readConfig } = await import('./config/environment.ts')
  return readConfig(process.env).stateDirectory
}

async function status(options: { state?: string; json?: boolean }): Promise<void> {
  const directory = await stateDirectoryOf(options)
  const answer = await askOwner(stateFiles(directory).socket)
  if (answer === undefined) throw new HoldfastError('not-found', `no agent runs with ${directory}`)
  const { owner: _, ...said } = answer as Record<string, unknown>
  const { hostRecipient } = await import('./main/host-recipient.ts')
  // Read here and not by the agent, which then need not hold what only this command needs.
  const recipient = await hostRecipient(stateFiles(directory).hostKey)
  const rest = { ...said, ...(recipient === undefined ? {} : { recipient }) }
  if (options.json) process.stdout.write(`${JSON.stringify(rest)}\n`)
  else {
    for (const [name, value] of Object.entries(rest)) {
      const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
      process.stdout.write(`${name}: ${text}\n`)
    }
  }
}

const stateOption = () => new Option('--state <directory>', 'state directory of the agent')

const program = new Command('holdfast-agent')
  .description('Backs up the volumes of this Docker host for a Holdfast control plane.')
  .version(version)

program
  .command('enroll')
  .description(
    'Enrol this host. The token comes from stdin, a prompt, or HOLDFAST_ENROLL_TOKEN[_FILE].',
  )
  .option('--url <url>', 'address of the control plane (HOLDFAST_URL)')
  .option('--name <name>', 'name of this host; by default what `docker info` calls it')
  .option(
    '--recovery <recipient>',
    'age recipient of the recovery kit; without it nothing is backed up',
  )
  .addOption(stateOption())
  .addOption(new Option('--token [token]').hideHelp())
  .allowExcessArguments()
  .action(async (options, command: Command) => {
    if (command.args.length > 0 || options.token !== undefined) refuseToken()
    const { enroll } = await import('./main/enroll.ts')
    await enroll(options)
  })

program
  .command('run')
  .description('Run the agent until it is told to stop.')
  .addOption(stateOption())
  .action(async (options) => {
    process.umask(0o077)
    const state = await stateDirectoryOf(options)
    // Before the bulk of the modules is loaded; the folder is as private as the rest of the state.
    enableCompileCache(openStateDirectory(state).code)
    const { run } = await import('./main/run.ts')
    await run({ state }, stopSignal())
  })

program
  .command('status')
  .description('Say what the agent of this host is doing.')
  .addOption(stateOption())
  .option('--json', 'one JSON object')
  .action(status)

try {
  await program.parseAsync()
} catch (error) {
  const hint = error instanceof HoldfastError && error.hint !== undefined ? `\n${error.hint}` : ''
  process.stderr.write(`holdfast-agent: ${describeError(error)}${hint}\n`)
  process.exitCode = 1
}
