// A private CA of the control plane, for every request of this process.
import { readFileSync } from 'node:fs'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { HoldfastError } from '../../shared/errors.ts'

/** Adds the certificates of `HOLDFAST_CA_FILE` (PEM) to those the machine trusts. */
export function trustExtraCertificates(env: NodeJS.ProcessEnv): void {
  const file = env.HOLDFAST_CA_FILE
  if (file === undefined || file === '') return
  try {
    setDefaultCACertificates([...getCACertificates('default'), readFileSync(file, 'utf8')])
  } catch (cause) {
    throw new HoldfastError('invalid', `HOLDFAST_CA_FILE: ${file} is not a readable PEM file`, {
      cause,
    })
  }
}
