import { bind, checked } from './libc.ts'

const syncfs = bind('syncfs', 'int', ['int'])

/** Wait until everything written to the file system that holds the open file `fd` is durable. */
export function syncFilesystem(fd: number): void {
  checked('syncfs', syncfs(fd))
}
