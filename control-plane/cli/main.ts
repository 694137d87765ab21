// `holdfast`: the operator's command.
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { HoldfastError } from '../../shared/errors.ts'
import { trustExtraCertificates } from './certificates.ts'
import { type Context, createContext } from './context.ts'
import { exitCodeOfError } from './exit-code.ts'
import { addAdopt } from './verbs/adopt.ts'
import { addAlert } from './verbs/alert.ts'
import { addAudit } from './verbs/audit.ts'
import { addBackup } from './verbs/backup.ts'
import { addEnrollToken } from './verbs/enroll-token.ts'
import { addHosts } from './verbs/host.ts'
import { addJobs } from './verbs/job.ts'
import { addLs } from './verbs/ls.ts'
import { addPolicy } from './verbs/policy.ts'
import { addPrune } from './verbs/prune.ts'
import { addRecovery } from './verbs/recovery.ts'
import { addRestore } from './verbs/restore.ts'
import { addRetention } from './verbs/retention.ts'
import { addServe } from './verbs/serve.ts'
import { addSnapshots } from './verbs/snapshots.ts'
import { addSources } from './verbs/sources.ts'
import { addToken } from './verbs/token.ts'
import { addUp } from './verbs/up.ts'
import { addVault } from './verbs/vault.ts'
import { addVerify } from './verbs/verify.ts'

const packageFile = new URL('../../package.json', import.meta.url)
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => stop.abort(new HoldfastError('cancelled', `stopped by ${name}`)))
}

const program = new Command('holdfast')
  .description(
    'Backups of Docker hosts: restic repositories, no storage credentials on hosts, proven restorable.',
  )
  .version(version)
  .option('--json', 'one JSON object per line, for programs')
  .showHelpAfterError()

let made: Context | undefined
function context(): Context {
  made ??= createContext({
    json: program.opts().json === true,
    env: process.env,
    signal: stop.signal,
  })
  return made
}

const verbs = [
  addUp,
  addServe,
  addEnrollToken,
  addHosts,
  addSources,
  addVault,
  addPolicy,
  addBackup,
  addJobs,
  addSnapshots,
  addLs,
  addRestore,
  addAdopt,
  addVerify,
  addRetention,
  addPrune,
  addRecovery,
  addAlert,
  addAudit,
  addToken,
]
for (const add of verbs) add(program, context)

try {
  trustExtraCertificates(process.env)
  await program.parseAsync()
  process.exitCode = made?.exitCode ?? 0
} catch (error) {
  report(error)
  process.exitCode = exitCodeOfError(error)
}

/** The cause in one sentence, the remedy in the next. A fault of ours shows its stack: it wants a report. */
function report(error: unknown): void {
  const known = error instanceof HoldfastError
  if (program.opts().json === true) {
    const code = known ? error.code : 'internal'
    const hint = known ? error.hint : undefined
    const message = error instanceof Error ? error.message : String(error)
    process.stderr.write(`${JSON.stringify({ message_type: 'error', code, message, hint })}\n`)
    return
  }
  if (!known) {
    process.stderr.write(
      `holdfast: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    return
  }
  process.stderr.write(
    `holdfast: ${error.message}\n${error.hint === undefined ? '' : `  ${error.hint}\n`}`,
  )
}
