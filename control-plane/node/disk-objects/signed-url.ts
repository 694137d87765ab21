// URLs of the disk vault: everything they allow is in the text that is signed.
import { createHmac, timingSafeEqual } from 'node:crypto'

/** What one URL allows, until `expires`. */
export type Allowed =
  | {
      readonly method: 'PUT'
      readonly vault: string
      readonly key: string
      /** Where the repository of the key lies below the folder, if not where the layout says. */
      readonly place?: string
      /** Unix time in seconds. */
      readonly expires: number
      readonly bytes: number
      readonly sha256: string
    }
  | {
      readonly method: 'GET'
      readonly vault: string
      readonly key: string
      readonly place?: string
      readonly expires: number
    }

/** Exactly these parameters, in exactly this order: nothing repeated, nothing added. */
const PUT_QUERY =
  /^\?expires=([1-9][0-9]{0,11})&bytes=([1-9][0-9]{0,10})&sha256=([0-9a-f]{64})(?:&place=([A-Za-z0-9._/-]{1,2100}))?&signature=([0-9a-f]{64})$/
const GET_QUERY =
  /^\?expires=([1-9][0-9]{0,11})(?:&place=([A-Za-z0-9._/-]{1,2100}))?&signature=([0-9a-f]{64})$/

export const VAULT_PATH = '/vault/'

/** Path and query; the origin is put before it. */
export function signedPath(allowed: Allowed, key: Uint8Array): string {
  const signature = sign(allowed, key).toString('hex')
  const content = allowed.method === 'PUT' ? `&bytes=${allowed.bytes}&sha256=${allowed.sha256}` : ''
  const place = allowed.place === undefined ? '' : `&place=${allowed.place}`
  return `${VAULT_PATH}${allowed.vault}/${allowed.key}?expires=${allowed.expires}${content}${place}&signature=${signature}`
}

/**
 * What a request target (as it stood in the request line) allows for that method, or undefined if it
 * was not signed by us. Expiry is the caller's to judge. The path is compared as it was sent: nothing
 * is decoded or normalised, so no two spellings name one object.
 */
export function readSignedPath(
  method: string,
  target: string,
  key: Uint8Array,
): Allowed | undefined {
  const mark = target.indexOf('?')
  if (mark < 0 || !target.startsWith(VAULT_PATH)) return undefined
  const path = target.slice(VAULT_PATH.length, mark)
  const query = target.slice(mark)
  const slash = path.indexOf('/')
  if (slash < 0) return undefined
  const vault = path.slice(0, slash)
  const name = path.slice(slash + 1)
  if (method === 'PUT') {
    const match = PUT_QUERY.exec(query)
    if (match === null) return undefined
    const allowed: Allowed = {
      method,
      vault,
      key: name,
      expires: Number(match[1]),
      bytes: Number(match[2]),
      sha256: match[3]!,
      ...(match[4] === undefined ? {} : { place: match[4] }),
    }
    return matches(allowed, match[5]!, key) ? allowed : undefined
  }
  if (method === 'GET') {
    const match = GET_QUERY.exec(query)
    if (match === null) return undefined
    const allowed: Allowed = {
      method,
      vault,
      key: name,
      expires: Number(match[1]),
      ...(match[2] === undefined ? {} : { place: match[2] }),
    }
    return matches(allowed, match[3]!, key) ? allowed : undefined
  }
  return undefined
}

function matches(allowed: Allowed, signature: string, key: Uint8Array): boolean {
  return timingSafeEqual(sign(allowed, key), Buffer.from(signature, 'hex'))
}

function sign(allowed: Allowed, key: Uint8Array): Buffer {
  const content = allowed.method === 'PUT' ? [String(allowed.bytes), allowed.sha256] : []
  const place = allowed.place === undefined ? [] : [`place ${allowed.place}`]
  const { method, vault, key: name, expires } = allowed
  const lines = [method, vault, name, String(expires), ...content, ...place]
  return createHmac('sha256', key)
    .update(`holdfast-vault/1\n${lines.join('\n')}\n`)
    .digest()
}
