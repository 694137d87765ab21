// A small image without any registry: this machine's own shell and a handful of its tools, with their libraries.

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type Docker from 'dockerode'
import { findProgram, machineEnvironment } from './machine.ts'

export const testImage = 'holdfast/test-base:latest'

/** What the image can run; all are coreutils but the first and the last two. */
const tools =
  'sh cat chmod chown cp date dd echo env false head id ln ls mkdir mkfifo mknod mv rm sha256sum sleep stat sync tail touch true truncate wc grep sed'

/** Marks an image with what it was made of, so that an unchanged machine makes it only once. */
const recipeLabel = 'holdfast.recipe'

/**
 * Makes sure that the engine has `testImage` and resolves to its name. 0.5 s the first time, 10 ms afterwards.
 * The engine must run on this machine's kind of system (glibc or musl Linux of the same processor).
 */
export async function ensureTestImage(docker: Docker): Promise<string> {
  if (process.platform !== 'linux')
    throw new Error(
      "the test image is made of this machine's own Linux programs, and this is not Linux",
    )
  const files = collectFiles()
  const recipe = createHash('sha256')
  for (const [path, source] of files) {
    const { size, mtimeMs } = statSync(source)
    recipe.update(`${path} ${source} ${size} ${mtimeMs}\n`)
  }
  const hash = recipe.digest('hex').slice(0, 16)
  const present = await docker
    .getImage(testImage)
    .inspect()
    .catch(() => undefined)
  if (present?.Config.Labels?.[recipeLabel] === hash) return testImage

  const folder = mkdtempSync(join(tmpdir(), 'holdfast-image-'))
  try {
    for (const [path, source] of files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      copyFileSync(source, join(folder, path))
    }
    for (const path of ['tmp', 'proc', 'sys', 'dev', 'etc', 'root', 'var'])
      mkdirSync(join(folder, path), { recursive: true })
    writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
    writeFileSync(join(folder, 'etc/group'), 'root:x:0:\n')
    await importFolder(docker, folder, hash)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return testImage
}

/** Path in the image → file of this machine: the tools, and every library the loader would map for them. */
function collectFiles(): Map<string, string> {
  const files = new Map<string, string>()
  for (const name of tools.split(' ')) {
    const program = findProgram(name)
    if (program === undefined) throw new Error(`the test image needs ${name}`)
    files.set(`/bin/${name}`, realpathSync(program))
  }
  const programs = [...new Set(files.values())]
  const listed = spawnSync('ldd', programs, { encoding: 'utf8', env: machineEnvironment() })
  // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or, for the loader itself, `/lib64/ld-… (0x…)`.
  for (const [, path] of listed.stdout.matchAll(/(?:=>)?\s(\/\S+) \(0x/g))
    if (path !== undefined) files.set(path, realpathSync(path))
  return files
}

async function importFolder(docker: Docker, folder: string, hash: string): Promise<void> {
  const [repo, tag] = testImage.split(':')
  const words = [
    '--directory',
    folder,
    '--create',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '.',
  ]
  const tar = spawn('tar', words, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve) => tar.on('close', resolve))
  const changes = [`LABEL ${recipeLabel}=${hash}`, 'ENV PATH=/bin', 'CMD ["sh"]']
  const answer = await docker.importImage(tar.stdout, { repo, tag, changes })
  await new Promise<void>((resolve, reject) =>
    docker.modem.followProgress(answer, (error) => (error ? reject(error) : resolve())),
  )
  const code = await ended
  if (code !== 0) throw new Error(`tar ended with ${code}`)
}
