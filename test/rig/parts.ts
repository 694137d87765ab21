// How a test file gets at the real parts. At the top of the file:
//
//   const docker = await useDocker()
//   describe.skipIf(docker.missing)('discovery', () => { … docker.connect() … })
//
// On Debian as root every part can be had, and one that cannot is an error. Elsewhere `missing` says why, the tests
// are skipped, and the run lists at its end what could not be run.

import { relative } from 'node:path'
import Docker from 'dockerode'
import { expect } from 'vitest'
import { projectRoot } from './machine.ts'
import { createS3Access, type S3Access, type S3Credentials } from './s3-access.ts'

export type PartName = 'docker' | 'rgw' | 'restic' | 'xattr'

/** What the rig's server answers. */
export type Answer<T> =
  | { readonly value: T }
  | { readonly because: string; readonly required: boolean }

export interface DockerAddress {
  /** As in DOCKER_HOST. */
  readonly host: string
  /** True for the engine that this run started, which no one else uses. */
  readonly private: boolean
  readonly image: string
}

export type RgwAddress = S3Credentials

export interface ResticAddress {
  readonly version: string
}

/** A part, or why it cannot be had here. Everything else throws while `missing` is set. */
export type Part<T> = T & { readonly missing: string | undefined }

export interface DockerPart {
  /** As in DOCKER_HOST: pass it to programs under test. */
  readonly host: string
  /** The engine's socket on this machine. */
  readonly socketPath: string
  /** An image with `sh`, `sleep`, `cat` and some coreutils. */
  readonly image: string
  /** True where volumes' mountpoints can be read by this process. */
  readonly private: boolean
  connect(): Docker
}

/** A Docker Engine shared by all files of the run: name what you make, and remove it. */
export async function useDocker(): Promise<Part<DockerPart>> {
  return part('docker', (address: DockerAddress): DockerPart => {
    const socketPath = address.host.replace(/^unix:\/\//, '')
    return { ...address, socketPath, connect: () => new Docker({ socketPath }) }
  })
}

/** Ceph's S3 gateway, shared by all files of the run: `makeBucket()` gives each its own place. */
export async function useRgw(): Promise<Part<S3Access>> {
  return part('rgw', (address: RgwAddress) => createS3Access(address))
}

/** Stock restic is installed; see restic.ts for running it. */
export async function useRestic(): Promise<Part<ResticAddress>> {
  return part('restic', (address: ResticAddress) => address)
}

/** `getfattr`, `setfattr`, `getfacl` and `setfacl` are installed. */
export async function useXattr(): Promise<Part<object>> {
  return part('xattr', () => ({}))
}

async function part<A, T extends object>(
  name: PartName,
  make: (address: A) => T,
): Promise<Part<T>> {
  const server = process.env.HOLDFAST_RIG
  if (!server) throw new Error('the rig is not running: start the tests with vitest and its config')
  const file = relative(projectRoot, expect.getState().testPath ?? '')
  const response = await fetch(`${server}/${name}?file=${encodeURIComponent(file)}`)
  const answer = (await response.json()) as Answer<A>
  if ('value' in answer) return { ...make(answer.value), missing: undefined }
  if (answer.required) throw new Error(`${name} could not be had: ${answer.because}`)
  const refuse = (_target: object, property: string | symbol) => {
    if (property === 'missing') return answer.because
    // What `await` and loggers look at is not use.
    if (property === 'then' || typeof property === 'symbol') return undefined
    throw new Error(`${name} could not be had (skip the tests that need it): ${answer.because}`)
  }
  return new Proxy({}, { get: refuse }) as Part<T>
}
