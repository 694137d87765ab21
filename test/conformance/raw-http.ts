// Bytes on a socket and what comes back, for requests no HTTP client would send.
import { connect } from 'node:net'

/** Patience for one exchange, in ms; a server that says nothing counts as refusing. */
const TIMEOUT = 5_000

/** The status of the first answer, or 0 if the connection ended without one; and everything received. */
export function rawHttp(
  origin: string,
  parts: readonly (string | Uint8Array)[],
): Promise<{ status: number; text: string }> {
  const { hostname, port } = new URL(origin)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) })
    let text = ''
    const finish = () => {
      socket.destroy()
      const status = /^HTTP\/1\.[01] ([0-9]{3})/.exec(text)?.[1]
      resolve({ status: Number(status ?? 0), text })
    }
    socket.setTimeout(TIMEOUT, finish)
    socket.on('connect', () => {
      for (const part of parts) socket.write(part)
    })
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1')
      // A 100 is no answer yet; a head with its end is enough to know the status.
      text = text.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, '')
      if (text.includes('\r\n\r\n')) setTimeout(finish, 50)
    })
    socket.on('close', finish)
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') reject(error)
      else finish()
    })
  })
}

/** Request line, headers and empty line. */
export function head(
  method: string,
  target: string,
  headers: readonly (readonly [string, string])[],
): string {
  return `${method} ${target} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
}
