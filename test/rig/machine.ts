// What this machine is and has: where the project lies, which programs are on it, whether packages may be installed.

import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout this file belongs to, without a trailing slash. */
export const projectRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '')

/** Kept between runs and safe to delete at any time: engine data, images. */
export const cacheDirectory = join(projectRoot, '.cache')

/** Daemons live in `sbin`, which is not on every user's path. */
const searchPath = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin']

/** The environment for programs of this machine, with `sbin` on the path and none of npm's variables. */
export function machineEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|VITEST)/.test(name))
  return { ...Object.fromEntries(kept), PATH: [...new Set(searchPath)].join(delimiter) }
}

/** The full path of a program, or undefined where it is not installed. */
export function findProgram(name: string): string | undefined {
  return searchPath
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** True where whatever is missing can be installed, and where a missing part is therefore a failure. */
export function isDebianAsRoot(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    return /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'))
  } catch {
    return false
  }
}
