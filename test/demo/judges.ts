// Who judges the repository: our own verifier, and stock restic where it is installed.
import { randomBytes } from 'node:crypto'
import { check } from '../../agent/repository/check.ts'
import type { CheckReport } from '../../agent/repository/check-report.ts'
import { openRepository } from '../../agent/repository/repository.ts'
import { createDirectoryStore } from '../../agent/storage/directory.ts'
import { ensurePrograms } from '../rig/packages.ts'
import { createRestic, resticVersion } from '../rig/restic.ts'

/** Every object and every byte by our verifier. Throws with what it found first. */
export async function checkByUs(directory: string, password: string): Promise<CheckReport> {
  const temporaryName = () => randomBytes(8).toString('hex')
  const store = createDirectoryStore({ directory, temporaryName })
  const repository = await openRepository({ store, password })
  const report = await check({ store, repository, readData: true })
  if (report.errors + report.hints === 0) return report
  const [first] = report.problems
  throw new Error(
    `our verifier found ${report.errors} errors and ${report.hints} hints, the first: ${first?.kind} in ${first?.id}: ${first?.detail}`,
  )
}

/** `restic check --read-data`, and its version; or the reason why restic could not be asked. */
export async function checkByRestic(
  directory: string,
  password: string,
  say: (line: string) => void,
): Promise<{ version: string } | { missing: string }> {
  const missing = await ensurePrograms(['restic'], say)
  if (missing !== undefined) return { missing }
  const restic = createRestic({ repository: directory, password })
  try {
    await restic.check({ readData: true })
    return { version: await resticVersion() }
  } finally {
    restic.close()
  }
}
