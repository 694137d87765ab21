// One agent per state directory: whoever listens on its socket owns it, and answers what it is doing.
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { HoldfastError } from '../../shared/errors.ts'

/** An owner that lives answers at once; one that hangs still owns the directory. In ms. */
const PATIENCE = 5_000

/** What the owner of `path` answers, or undefined if nobody listens there. */
export function askOwner(path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(path)
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error('the agent does not answer')))
    socket.setEncoding('utf8')
    socket.on('data', (part) => {
      text += part
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined)
      else reject(error)
    })
    socket.on('end', () => {
      try {
        resolve(JSON.parse(text))
      } catch {
        reject(new Error('the agent answered something that is not JSON'))
      }
    })
  })
}

export interface Ownership {
  release(): void
}

/**
 * Own the directory of socket `path` until `release` or the end of this process; `describe` says what
 * others are told. Throws `in-use` while another agent owns it.
 */
export async function own(path: string, describe: () => object): Promise<Ownership> {
  const mine = randomBytes(16).toString('hex')
  if ((await askOwner(path)) !== undefined) throw inUse()
  rmSync(path, { force: true })
  const server: Server = createServer((socket) => {
    socket.on('error', () => {}) // who asks may leave before the answer
    socket.end(JSON.stringify({ ...describe(), owner: mine }))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  }).catch((cause) => {
    if ((cause as NodeJS.ErrnoException).code === 'EADDRINUSE') throw inUse()
    throw cause
  })
  // Two that start in the same moment both find nobody there: the one whose socket was replaced gives way.
  const answer = (await askOwner(path)) as { owner?: string } | undefined
  if (answer?.owner !== mine) {
    server.close()
    throw inUse()
  }
  server.unref()
  return { release: () => server.close() }
}

function inUse(): HoldfastError {
  return new HoldfastError('in-use', 'another agent is running with this state directory', {
    hint: 'stop it first, or give this one a directory of its own',
  })
}
