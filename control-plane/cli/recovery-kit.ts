// The recovery key: made on the operator's machine, kept by people, never seen by host or control plane.
import { readFile, writeFile } from 'node:fs/promises'
import { Decrypter, Encrypter, generateIdentity, identityToRecipient } from 'age-encryption'
import { HoldfastError } from '../../shared/errors.ts'

export interface RecoveryKit {
  /** `AGE-SECRET-KEY-1…`: opens every escrow sealed to the recipient. */
  readonly identity: string
  /** `age1…`: may be shown to anyone; goes into the enrolment command of each host. */
  readonly recipient: string
}

export async function makeRecoveryKit(): Promise<RecoveryKit> {
  const identity = await generateIdentity()
  return { identity, recipient: await identityToRecipient(identity) }
}

/** The recipient that belongs to an identity. */
export function recipientOf(identity: string): Promise<string> {
  return identityToRecipient(identity)
}

/** The kit as a text file: an age identity file with everything a person needs around it, as comments. */
export function kitText(kit: RecoveryKit, madeAt: string): string {
  return `# Holdfast recovery kit, made ${madeAt}
#
# Whoever holds this file can read every backup of every host that was enrolled with its recipient.
# Whoever loses it can restore only on hosts that still have their own password.
# Print it or keep it in a safe, away from the hosts and from the control plane. Keep two copies.
#
# Recipient (not secret; it belongs into the enrolment command as --recovery):
# public key: ${kit.recipient}
#
# To open a host's repository with this kit:
#   holdfast recovery open --host NAME --identity THIS-FILE --password-file OUT
# Without Holdfast: the bucket holds holdfast/v1/escrow/<repository id>/<n>.age
#   age --decrypt --identity THIS-FILE 1.age > repository.password
#   RESTIC_PASSWORD_FILE=repository.password restic -r s3:https://ENDPOINT/BUCKET/PREFIX/repositories/<repository id> --no-lock snapshots
#
${kit.identity}
`
}

/**
 * Writes a new kit to `file`, readable by its owner alone. Refuses to replace a file: an overwritten
 * recovery key is lost for ever.
 */
export async function writeKit(file: string, kit: RecoveryKit, madeAt: string): Promise<void> {
  try {
    await writeFile(file, kitText(kit, madeAt), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new HoldfastError(
        'already-exists',
        `${file} exists; a recovery kit is never overwritten`,
        {
          hint: 'choose another file name, or move the old kit to a safe place first',
        },
      )
    }
    throw error
  }
}

/** Every age identity in a kit or age identity file. */
export async function readIdentities(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new HoldfastError('not-found', `--identity ${file}: cannot be read`, { cause })
  })
  const identities = text.split(/\r?\n/).filter((line) => line.startsWith('AGE-SECRET-KEY-1'))
  if (identities.length === 0) {
    throw new HoldfastError(
      'invalid',
      `--identity ${file}: holds no line that begins with AGE-SECRET-KEY-1`,
      {
        hint: 'give the recovery kit that `holdfast recovery kit` wrote',
      },
    )
  }
  return identities.map((line) => line.trim())
}

/** Opens age ciphertext with any of the identities. */
export async function openSealed(
  sealed: Uint8Array,
  identities: readonly string[],
): Promise<Uint8Array> {
  const decrypter = new Decrypter()
  for (const identity of identities) decrypter.addIdentity(identity)
  try {
    return await decrypter.decrypt(sealed)
  } catch (cause) {
    throw new HoldfastError(
      'wrong-password',
      'none of the identities opens it: it was sealed to another recovery recipient',
      {
        hint: 'compare the recipient that `holdfast hosts` shows with the public key inside the kit',
        cause,
      },
    )
  }
}

/** Seals bytes to one recipient. */
export async function sealTo(recipient: string, bytes: Uint8Array): Promise<Uint8Array> {
  const encrypter = new Encrypter()
  encrypter.addRecipient(recipient)
  return encrypter.encrypt(bytes)
}
