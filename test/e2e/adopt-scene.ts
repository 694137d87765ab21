// A fleet whose vault holds repositories that stock restic made, for hosts to take over.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { createRestic, type Restic } from '../rig/restic.ts'
import { type Fleet, type FleetHost, type Job, startFleet } from '../support/fleet.ts'
import { writeBody } from '../support/tree-body.ts'

export const oldPassword = 'an old password'

export interface AdoptScene {
  readonly fleet: Fleet
  /** The folder of the vault. */
  readonly vault: string
  /** A tree of files: `one`, of 3 MB, or `two`. */
  tree(name: 'one' | 'two'): string
  /** Makes a repository below the folder of the vault, with a snapshot of `one` by another host. */
  made(place: string, version?: 1 | 2): Promise<Restic>
  /** A directory of the host that it offers too. */
  gone(host: string): string
  /** A host that offers `one`, and that is known to. */
  host(name: string): Promise<FleetHost>
  adopt(
    host: FleetHost,
    place: string,
    secret?: string,
    vault?: string,
  ): Promise<{ job: Job; stderr: string; exitCode: number }>
  snapshots(host: string): Promise<readonly { id: string; source: string }[]>
  /** Restores a snapshot, which must succeed; resolves to where it lies. */
  restored(snapshot: string, name: string): Promise<string>
  stop(): Promise<void>
}

export async function setAdoptScene(): Promise<AdoptScene> {
  const fleet = await startFleet()
  const judges: Restic[] = []
  const [local] = await fleet.list('vault', 'list')
  const vault = join(fleet.data, 'vaults', local!.id as string)
  const tree = (name: string) => join(fleet.folder, name)
  const gone = (name: string) => join(fleet.folder, `gone-${name}`)
  writeBody(tree('one'), 3_000_000, 'one')
  writeBody(tree('two'), 500_000, 'two')
  return {
    fleet,
    vault,
    tree,
    async made(place, version = 2) {
      const repository = join(vault, place)
      mkdirSync(repository, { recursive: true })
      const judge = createRestic({ repository, password: oldPassword })
      judges.push(judge)
      await judge.run('init', '--repository-version', String(version))
      await judge.backup([tree('one')], '--host', 'old-server', '--tag', 'nightly')
      return judge
    },
    gone,
    async host(name) {
      const directories = [tree('one'), gone(name)]
      mkdirSync(gone(name))
      const enrolled = await fleet.host(name, { directories })
      for (const directory of directories) await enrolled.offers(`directory:${directory}`)
      return enrolled
    },
    async adopt(host, place, secret = oldPassword, into = 'local') {
      const words = ['--host', host.name, '--vault', into, '--prefix', place]
      const ran = await fleet
        .as({ RESTIC_PASSWORD: secret })
        .attempt('adopt', ...words, '--recipient', host.recipient)
      const { stderr, exitCode } = ran
      return { job: ran.json.at(-1) as unknown as Job, stderr, exitCode }
    },
    snapshots: async (name) =>
      (await fleet.list('snapshots', '--host', name)) as unknown as {
        id: string
        source: string
      }[],
    async restored(snapshot, name) {
      const target = join(fleet.folder, name)
      const job = await fleet.job('restore', snapshot, '--to-directory', target)
      expect(job).toMatchObject({ outcome: 'succeeded' })
      return target
    },
    async stop() {
      for (const judge of judges) judge.close()
      await fleet.stop()
    },
  }
}
