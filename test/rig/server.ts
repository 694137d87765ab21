// One process per test run owns the real parts. Test files run in workers that come and go, so they ask for a part
// over loopback; the first to ask has it started, and it is stopped when the run ends.

import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import Docker from 'dockerode'
import { startDockerd } from './dockerd.ts'
import { ensureTestImage } from './image.ts'
import { sweep } from './leftovers.ts'
import { findProgram, isDebianAsRoot } from './machine.ts'
import { ensurePrograms } from './packages.ts'
import type { Answer, DockerAddress, PartName, ResticAddress, RgwAddress } from './parts.ts'
import { resticVersion } from './restic.ts'
import { startRgw } from './rgw.ts'

export interface RigServer {
  /** Where workers ask; holds a random path, so that nobody else's request starts anything. */
  readonly url: string
  /** What was asked for and could not be had, one sentence for each file and part. */
  readonly refusals: readonly string[]
  stop(): Promise<void>
}

/** Starts the server; no part is started before it is asked for. */
export async function startRigServer(say: (sentence: string) => void): Promise<RigServer> {
  await sweep(say)
  const stops: (() => Promise<void>)[] = []
  const started = new Map<PartName, Promise<Answer<unknown>>>()
  const refusals = new Set<string>()

  const makers: Record<PartName, () => Promise<unknown>> = {
    async docker(): Promise<DockerAddress> {
      const { DOCKER_HOST } = process.env
      if (DOCKER_HOST) {
        const socketPath = /^unix:\/\/(.+)/.exec(DOCKER_HOST)?.[1]
        if (socketPath === undefined)
          throw new Error(
            `the tests need an engine on this machine, and DOCKER_HOST is ${DOCKER_HOST}`,
          )
        const image = await ensureTestImage(new Docker({ socketPath }))
        return { host: DOCKER_HOST, private: false, image }
      }
      if (isDebianAsRoot() || (process.getuid?.() === 0 && findProgram('dockerd'))) {
        const engine = await startDockerd({ say })
        stops.push(engine.stop)
        const image = await ensureTestImage(engine.docker)
        return { host: `unix://${engine.socketPath}`, private: true, image }
      }
      throw new Error(
        'no DOCKER_HOST is set, and a private dockerd needs Linux, root and docker installed',
      )
    },
    async rgw(): Promise<RgwAddress> {
      const gateway = await startRgw({ say })
      stops.push(gateway.stop)
      const { endpoint, region, accessKeyId, secretAccessKey } = gateway
      return { endpoint, region, accessKeyId, secretAccessKey }
    },
    async restic(): Promise<ResticAddress> {
      const missing = process.env.RESTIC_BIN ? undefined : await ensurePrograms(['restic'], say)
      if (missing !== undefined) throw new Error(missing)
      return { version: await resticVersion() }
    },
    async xattr() {
      const missing = await ensurePrograms(['getfattr', 'setfacl'], say)
      if (missing !== undefined) throw new Error(missing)
      return {}
    },
  }

  const ask = (part: PartName): Promise<Answer<unknown>> => {
    const known = started.get(part)
    if (known !== undefined) return known
    const answer = makers[part]().then(
      (value) => ({ value }),
      (error: Error) => ({ because: error.message, required: isDebianAsRoot() }),
    )
    started.set(part, answer)
    return answer
  }

  const secret = randomUUID()
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://rig')
    const [, word, part] = url.pathname.split('/')
    if (word !== secret || part === undefined || !(part in makers)) {
      response.writeHead(404).end()
      return
    }
    const answer = await ask(part as PartName)
    if ('because' in answer && !answer.required)
      refusals.add(`${url.searchParams.get('file')} needs ${part}: ${answer.because}`)
    response.end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  server.unref()
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/${secret}`,
    get refusals() {
      return [...refusals]
    },
    async stop() {
      server.closeAllConnections()
      server.close()
      // Whatever is being started right now is stopped too, once it stands.
      await Promise.all(started.values())
      await Promise.all(stops.map((stop) => stop()))
    },
  }
}
