// Locks between processes of one machine that the kernel itself gives back when their holder dies.

import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Takes the lock, or resolves to undefined while another process holds it. The result gives it back.
 *
 * The lock is a listening socket in Linux's abstract namespace: there is no file to be left behind.
 */
export function tryLock(name: string): Promise<(() => Promise<void>) | undefined> {
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 32)
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    )
    server.listen(`\0holdfast-${hash}`, () => {
      server.unref()
      resolve(() => new Promise((done) => server.close(() => done())))
    })
  })
}

/** Runs `body` while holding the lock, waiting for it up to `seconds`. */
export async function withLock<T>(
  name: string,
  seconds: number,
  body: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + seconds * 1000
  for (;;) {
    const release = await tryLock(name)
    if (release !== undefined) {
      try {
        return await body()
      } finally {
        await release()
      }
    }
    if (performance.now() > deadline) throw new Error(`the lock ${name} stayed taken ${seconds} s`)
    await sleep(50)
  }
}
