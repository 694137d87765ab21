// `/vault/…`: the way in to the disk vault, for whoever holds a signed URL and for nobody else.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { Clock } from '../../../shared/clock.ts'
import { parseVaultKey } from '../../../shared/vault/key.ts'
import { parsePlace, placeOf } from '../../../shared/vault/places.ts'
import { readRange } from './range.ts'
import { type Allowed, readSignedPath, VAULT_PATH } from './signed-url.ts'
import { DISK_FULL, DISK_FULL_HINT, isDiskFull, type VaultFolder } from './vault-folder.ts'

/** Silence on an upload or download after which the connection is given up, in ms. */
const SILENCE_TIMEOUT = 60_000
/** Bytes per read of a download: few trips through the thread pool, little memory. */
const READ_BYTES = 524_288

/** Headers that would change what a request means; none of them is ever signed, so none is taken. */
const REFUSED_HEADERS =
  /^(?:x-amz-|x-http-method|content-(?:encoding|range)$|transfer-encoding$|trailer$)/

export interface VaultDoorOptions {
  /** The folder of a disk vault, or undefined if there is no such vault. */
  folderOf(vault: string): Promise<VaultFolder | undefined>
  readonly urlKey: Uint8Array
  readonly clock: Clock
  /** Faults that have no words of their own; the answer says only that there was one. */
  onFault(error: unknown): void
}

/**
 * Returns a handler that answers every request whose target begins with `/vault/` (and says so with
 * true), to be asked before any router: it judges the request line as it was sent, before anything
 * decodes it, and streams the body without holding it.
 */
export function createVaultDoor(
  options: VaultDoorOptions,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  return (request, response) => {
    if (!isForVault(request.url ?? '')) return false
    request.setTimeout(SILENCE_TIMEOUT, () => request.destroy())
    answer(options, request, response).catch((error: unknown) => {
      // The client hung up: there is nobody to tell, and nothing was kept.
      if (request.destroyed && !request.complete) return
      if (isDiskFull(error)) {
        refuse(request, response, 507, 'store-unavailable', DISK_FULL, DISK_FULL_HINT)
        return
      }
      options.onFault(error)
      refuse(request, response, 500, 'internal', 'the vault could not carry this out')
    })
    return true
  }
}

/** Any spelling that a router might take for the vault is answered here, and refused. */
function isForVault(target: string): boolean {
  return target.startsWith(VAULT_PATH) || /^(?:https?:\/\/[^/]*)?[/\\]+vault[/\\]/i.test(target)
}

async function answer(
  options: VaultDoorOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const allowed = readSignedPath(request.method ?? '', request.url ?? '', options.urlKey)
  if (allowed === undefined) {
    return refuse(request, response, 403, 'forbidden', 'this URL was not signed for this request')
  }
  if (options.clock.now() >= allowed.expires * 1_000) {
    return refuse(request, response, 403, 'token-expired', 'this URL has expired')
  }
  const forbidden = Object.keys(request.headers).find((name) => REFUSED_HEADERS.test(name))
  if (forbidden !== undefined) {
    const message = `header ${forbidden} was not signed`
    return refuse(request, response, 403, 'forbidden', message)
  }
  const folder = await options.folderOf(allowed.vault)
  // Only keys of ours are ever signed; asking again costs nothing and guards the file system.
  if (folder === undefined || parseVaultKey(allowed.key) === undefined) {
    return refuse(request, response, 403, 'forbidden', 'there is no such vault')
  }
  const at = wholeKey(allowed)
  if (allowed.method === 'PUT')
    return takeObject(folder, { ...allowed, key: at }, request, response)
  return giveObject(folder, at, request, response)
}

/** Below the folder. Places are ours too: they were signed with the key. */
function wholeKey({ key, place }: Allowed): string {
  if (place === undefined || parsePlace(place) !== place) return key
  const [, repository] = key.split('/')
  return placeOf(key, { [repository ?? '']: place }) ?? key
}

async function takeObject(
  folder: VaultFolder,
  allowed: Extract<Allowed, { method: 'PUT' }>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.headers['content-length'] !== String(allowed.bytes)) {
    const message = `content-length: ${allowed.bytes} was signed`
    return refuse(request, response, 403, 'forbidden', message)
  }
  const present = await folder.openRead(allowed.key)
  if (present !== undefined) {
    await present.close()
    return refuse(request, response, 412, 'exists', 'there is an object of this name')
  }
  if (allowed.bytes > (await folder.roomBytes())) {
    return refuse(request, response, 507, 'store-unavailable', DISK_FULL, DISK_FULL_HINT)
  }
  // Reading the body chunk by chunk and waiting for the disk holds the sender back: no more than the
  // socket's buffer is ever in memory.
  // A failed write must not end the connection before the answer is out.
  const body = request.iterator({ destroyOnReturn: false })
  const result = await folder.writeOnce(allowed.key, body, allowed)
  if (result === 'stored') {
    response.writeHead(200, { 'content-length': '0' }).end()
    return
  }
  if (result === 'exists') {
    return refuse(request, response, 412, 'exists', 'there is an object of this name')
  }
  return refuse(request, response, 400, 'invalid', result.other)
}

async function giveObject(
  folder: VaultFolder,
  key: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const file = await folder.openRead(key)
  if (file === undefined) {
    return refuse(request, response, 404, 'not-found', 'there is no object of this name')
  }
  try {
    const { size } = await file.stat()
    const range = readRange(request.headers.range, size)
    if (range === 'none') {
      response.setHeader('content-range', `bytes */${size}`)
      return refuse(request, response, 416, 'invalid', `range: the object has ${size} bytes`)
    }
    const { from, to } = range === 'whole' ? { from: 0, to: size } : range
    response.writeHead(range === 'whole' ? 200 : 206, {
      'content-length': String(to - from),
      'content-type': 'application/octet-stream',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'bytes',
      ...(range === 'whole' ? {} : { 'content-range': `bytes ${from}-${to - 1}/${size}` }),
    })
    if (to === from) {
      response.end()
      return
    }
    response.setTimeout(SILENCE_TIMEOUT, () => response.destroy())
    const bytes = file.createReadStream({
      start: from,
      end: to - 1,
      autoClose: false,
      highWaterMark: READ_BYTES,
    })
    await pipeline(bytes, response)
  } catch (error) {
    // Headers are out: a cut connection is the only way left to say that it went wrong.
    if (!response.headersSent) throw error
    response.destroy()
  } finally {
    await file.close()
  }
}

/** A problem document (RFC 9457). What is left of the body is read and thrown away, within limits. */
function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  code: string,
  detail: string,
  hint?: string,
): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const title = STATUS_TITLES[status] ?? 'Error'
  const problem = { type: 'about:blank', title, status, detail, code, ...(hint ? { hint } : {}) }
  const body = Buffer.from(JSON.stringify(problem))
  response.writeHead(status, {
    'content-type': 'application/problem+json',
    'content-length': String(body.length),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  // A sender that writes its whole body before it reads must not meet a reset instead of the answer.
  let left = DRAIN_BYTES
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) request.destroy()
  })
  request.resume()
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** Most of a refused body that is read for politeness: several packs. */
const DRAIN_BYTES = 64 * 1024 * 1024

const STATUS_TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  412: 'Precondition Failed',
  416: 'Range Not Satisfiable',
  500: 'Internal Server Error',
  507: 'Insufficient Storage',
}
