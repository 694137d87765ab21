import { bindAsync } from './libc.ts'

const syncfs = bindAsync('syncfs', 'int', ['int'])

/** Wait, on another thread, until everything written to the file system that holds the open file `fd` is durable. */
export async function syncFilesystem(fd: number): Promise<void> {
  await syncfs(fd)
}
