// A host, a plane and stock restic over one repository, made for one test file and gone with it.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Decrypter } from 'age-encryption'
import { createRestic, type Restic } from '../rig/restic.ts'
import { type Host, makeHost, runMover } from './drive.ts'
import { type FakePlane, type FakePlaneOptions, startFakePlane } from './fake-plane.ts'

export interface Scene {
  readonly folder: string
  readonly host: Host
  readonly plane: FakePlane
  readonly restic: Restic
  /** An empty directory of its own. */
  make(name: string): string
  close(): Promise<void>
}

/** The repository is made by a real `init`. */
export async function setScene(options: FakePlaneOptions = {}): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-mover-'))
  const make = (name: string): string => {
    const path = join(folder, name)
    mkdirSync(path)
    return path
  }
  const host = await makeHost(make('state'))
  const plane = await startFakePlane(join(folder, 'repository'), options)
  const restic = createRestic({ repository: plane.directory, password: host.password })
  const ran = await runMover(host, plane, [{ parameters: { kind: 'init' } }])
  if (ran.done[0]?.outcome !== 'succeeded') throw new Error(`init: ${JSON.stringify(ran)}`)
  return {
    folder,
    host,
    plane,
    restic,
    make,
    async close() {
      restic.close()
      await plane.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The text of base64 age ciphertext. */
export async function openAge(sealed: string, identity: string): Promise<string> {
  return Buffer.from(await openAgeBytes(sealed, identity)).toString('utf8')
}

export async function openAgeBytes(sealed: string, identity: string): Promise<Uint8Array> {
  const opener = new Decrypter()
  opener.addIdentity(identity)
  return opener.decrypt(Buffer.from(sealed, 'base64'))
}
