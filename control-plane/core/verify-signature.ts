// Ed25519 by Web Crypto, which Node and Workers share.
import { fromHex } from '../../shared/bytes.ts'

/** Is `signature` (128 hex digits) over `message` by `publicKey` (64 hex digits)? */
export async function verifySignature(
  publicKey: string,
  signature: string,
  message: Uint8Array,
): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey('raw', fromHex(publicKey), 'Ed25519', false, [
      'verify',
    ])
    const lent = message as Uint8Array<ArrayBuffer>
    return await crypto.subtle.verify('Ed25519', key, fromHex(signature), lent)
  } catch {
    return false // not a point on the curve: nobody can have signed with it
  }
}
