// What leaves the host for a person: sealed with age (age-encryption.org/v1) to their recipients.
import { toBase64 } from '../../shared/bytes.ts'

/** age ciphertext of `plain`, as base64. Whoever holds the identity of one of the recipients can open it. */
export async function sealTo(
  recipients: readonly string[],
  plain: Uint8Array | string,
): Promise<string> {
  if (recipients.length === 0) throw new RangeError('nobody to seal for')
  // Most runs have nothing to seal, and its curves take 20 MB and a tenth of a second to load.
  const { Encrypter } = await import('age-encryption')
  const encrypter = new Encrypter()
  for (const recipient of new Set(recipients)) encrypter.addRecipient(recipient)
  return toBase64(await encrypter.encrypt(plain))
}
