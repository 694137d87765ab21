// The control plane as a process: `main.ts` serves, `main.ts init` makes the first vault and admin token.
import { readFileSync } from 'node:fs'
import { HoldfastError } from '../../shared/errors.ts'
import { ensureVault, firstAdminToken } from './bootstrap.ts'
import { readConfig } from './config.ts'
import { createLog } from './log.ts'
import { createPlane } from './plane.ts'
import { serve } from './serve.ts'
import { systemClock as clock } from './system.ts'
import { startTimers } from './timers.ts'

const packageFile = new URL('../../package.json', import.meta.url)
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }

/**
 * Prints one line of JSON, the only thing this program ever writes to stdout:
 * `{"url": …, "token": …}`, without `token` when there is a live admin token (`--another` makes one more).
 */
async function init(another: boolean): Promise<void> {
  const config = readConfig(process.env)
  const plane = await createPlane(config, createLog(config.logLevel), version)
  await ensureVault(plane.vaults)
  const token = await firstAdminToken(plane.apiTokens, another)
  process.stdout.write(`${JSON.stringify({ url: config.publicUrl, token })}\n`)
  plane.close()
}

async function run(): Promise<void> {
  const config = readConfig(process.env)
  const log = createLog(config.logLevel)
  const plane = await createPlane(config, log, version)
  await ensureVault(plane.vaults)
  const { listen, tls, trustedProxies, publicUrl } = config
  const { raw, fetch, webSockets } = plane
  const serving = await serve({ listen, tls, trustedProxies, raw, fetch, webSockets, log })
  const timers = startTimers({ clock, log }, plane.tasks)
  log.info('the control plane serves', { listen: listen.host, publicUrl, version })
  if (!(await plane.apiTokens.hasAdmin())) {
    log.warn('there is no admin token yet: run `holdfast serve --init` on this machine')
  }

  const signal = await new Promise<string>((stop) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, stop)
  })
  log.info('stopping', { signal })
  plane.disconnect()
  await Promise.all([serving.stop(), timers.stop()])
  plane.close()
}

try {
  const [command, ...flags] = process.argv.slice(2)
  if (command === 'init') await init(flags.includes('--another'))
  else if (command === undefined) await run()
  else throw new HoldfastError('invalid', `"${command}" is not a command of this program`)
} catch (error) {
  if (!(error instanceof HoldfastError)) throw error
  const hint = error.hint === undefined ? '' : `\n  ${error.hint}`
  process.stderr.write(`holdfast: ${error.message}${hint}\n`)
  process.exitCode = 1
}
