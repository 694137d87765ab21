import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { spacesEndpoint, type spacesRegions } from '../../../shared/vault/vault.ts'
import { systemClock } from '../../../test/support/system-clock.ts'
import { objectUrl, type S3Place, wholeKey } from './grants.ts'
import { createS3Vault } from './s3-objects.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})
const key = 'repositories/01890000-0000-7000-8000-000000000001/config'
const credentials = { accessKeyId: 'AKIACANARY', secretAccessKey: 'secret-canary' }

async function vaultAt(answer: RequestListener) {
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    answer(request, response)
  })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const place: S3Place = {
    kind: 's3',
    endpoint,
    region: 'us-east-1',
    bucket: 'bucket',
    prefix: '',
    pathStyle: true,
  }
  const { objects } = createS3Vault({
    ...{ place, credentials, capabilities: null, skewMs: 0, clock: systemClock, fetch },
  })
  return { objects, requests: () => requests }
}
const error =
  (status: number, code: string): RequestListener =>
  (_request, response) =>
    response
      .writeHead(status, { 'content-type': 'application/xml' })
      .end(`<Error><Code>${code}</Code><Message>secret-canary</Message></Error>`)

describe('an S3 store that misbehaves', () => {
  it('is asked again when it asks for patience', async () => {
    let left = 2
    const { objects, requests } = await vaultAt((request, response) => {
      if (left-- > 0) return error(503, 'SlowDown')(request, response)
      response.writeHead(200, { 'content-length': '5' }).end('hello')
    })
    expect(await objects.get(key, 100)).toEqual(new TextEncoder().encode('hello'))
    expect(requests()).toBe(3)
  })

  it('is given up after four tries, in words', async () => {
    const { objects, requests } = await vaultAt(error(503, 'SlowDown'))
    await expect(objects.list('', { limit: 10 })).rejects.toMatchObject({
      code: 'store-unavailable',
      message: 'could not list the bucket (HTTP 503 SlowDown)',
    })
    expect(requests()).toBe(4)
  })

  it('is not asked again when it refuses', async () => {
    const { objects, requests } = await vaultAt(error(403, 'AccessDenied'))
    await expect(objects.get(key, 10)).rejects.toMatchObject({ code: 'forbidden' })
    expect(requests()).toBe(1)
  })

  it('cuts lines: an object that breaks off is a failure, not a short object', async () => {
    const { objects } = await vaultAt((_request, response) => {
      response.writeHead(200, { 'content-length': '500' })
      response.write('only this')
      setTimeout(() => response.destroy(), 20)
    })
    await expect(objects.get(key, 1_000)).rejects.toMatchObject({ code: 'store-unavailable' })
  })

  it('tells no time: an answer without a date is no clock', async () => {
    const { objects } = await vaultAt((_request, response) => {
      response.sendDate = false
      response.end()
    })
    await expect(objects.time()).rejects.toMatchObject({
      message: 'the store did not state its time',
    })
  })

  it('knows no if-none-match: what is there is looked up first, and it is written without', async () => {
    const seen: string[] = []
    const { objects } = await vaultAt((request, response) => {
      seen.push(`${request.method} ${request.headers['if-none-match'] ?? '-'}`)
      if (request.method === 'GET') return error(404, 'NoSuchKey')(request, response)
      if (request.headers['if-none-match']) return error(501, 'NotImplemented')(request, response)
      request.resume()
      response.end()
    })
    expect(await objects.put(key, new Uint8Array(10))).toBe('stored')
    expect(seen[0]).toBe('GET -')
    expect(seen.at(-1)).toBe('PUT -')
  })

  it('lost the answer of a write: the same bytes found there are ours', async () => {
    let wrote = false
    const body = new Uint8Array(10).fill(7)
    const { objects } = await vaultAt((request, response) => {
      if (request.method === 'GET') {
        if (!wrote) return error(404, 'NoSuchKey')(request, response)
        response.writeHead(200, { 'content-length': '10' }).end(body)
        return
      }
      request.resume()
      request.on('end', () => {
        if (wrote) return error(412, 'PreconditionFailed')(request, response)
        wrote = true
        response.destroy()
      })
    })
    expect(await objects.put(key, body)).toBe('stored')
  })
})

describe('where objects lie', () => {
  const place: S3Place = {
    kind: 's3',
    endpoint: 'https://fra1.digitaloceanspaces.com',
    region: 'fra1',
    bucket: 'backups',
    prefix: 'fleet/',
    pathStyle: false,
  }
  it('is under the bucket’s own name, or under a path', () => {
    expect(objectUrl(place, wholeKey(place, {}, 'a/b')).href).toBe(
      'https://backups.fra1.digitaloceanspaces.com/fleet/a/b',
    )
    expect(objectUrl({ ...place, pathStyle: true }, 'fleet/a/b').href).toBe(
      'https://fra1.digitaloceanspaces.com/backups/fleet/a/b',
    )
    const under = { ...place, endpoint: 'https://s3.example:9000/base/', pathStyle: true }
    expect(objectUrl(under, 'fleet/a').href).toBe('https://s3.example:9000/base/backups/fleet/a')
  })
  it('is elsewhere in the bucket for a repository that was there before', () => {
    const repository = '01890000-0000-7000-8000-000000000001'
    const places = { [repository]: 'old/' }
    expect(wholeKey(place, places, `repositories/${repository}/config`)).toBe('old/config')
    expect(wholeKey(place, places, 'holdfast/v1/vault.json')).toBe('fleet/holdfast/v1/vault.json')
  })
  it('is known for the regions of Spaces', () => {
    const region: (typeof spacesRegions)[number] = 'nyc3'
    expect(spacesEndpoint(region)).toBe('https://nyc3.digitaloceanspaces.com')
  })
})
