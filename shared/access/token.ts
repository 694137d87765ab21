// Bearer tokens: `hf_<kind>_<id>_<secret>`, where the id finds the row and the secret proves it.
import { equalBytes, fromHex, sha256Hex, toHex, utf8 } from '../bytes.ts'
import type { Random } from '../clock.ts'

export const tokenKinds = ['api', 'enroll', 'session'] as const
export type TokenKind = (typeof tokenKinds)[number]

/** Bytes of the id and of the secret: 64 bits to find, 256 bits to prove. */
const ID_BYTES = 8
const SECRET_BYTES = 32
const TOKEN = /^hf_(api|enroll|session)_([0-9a-f]{16})_([0-9a-f]{64})$/

export interface IssuedToken {
  /** Shown once, never stored. */
  readonly token: string
  readonly id: string
  /** SHA-256 of the whole token in hex: what is stored. 256 random bits need no slow hash. */
  readonly hash: string
}

export async function issueToken(kind: TokenKind, random: Random): Promise<IssuedToken> {
  const id = toHex(random.bytes(ID_BYTES))
  const token = `hf_${kind}_${id}_${toHex(random.bytes(SECRET_BYTES))}`
  return { token, id, hash: await sha256Hex(utf8(token)) }
}

/** The id inside a well-formed token of that kind, or undefined. */
export function tokenId(kind: TokenKind, token: string): string | undefined {
  const match = TOKEN.exec(token)
  return match?.[1] === kind ? match[2] : undefined
}

/** Does the token have this stored hash? In constant time. */
export async function tokenMatches(token: string, hash: string): Promise<boolean> {
  return equalBytes(fromHex(await sha256Hex(utf8(token))), fromHex(hash))
}
