// Makes sure that node_modules holds what the lock file says, and that npm scripts will run on Node 24.
//
// Runs before every npm script and in front of `bin/holdfast`, so: built-in modules only, plain JavaScript that
// Node 20 understands, no output when there is nothing to do. Everything it says goes to stderr, because stdout
// belongs to the command that follows.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The sources are TypeScript that Node runs directly, without flags, from this major version on. */
const leastMajor = 24

const root = fileURLToPath(new URL('../../', import.meta.url))

/** @param {string} sentence */
const say = (sentence) => process.stderr.write(`holdfast: ${sentence}\n`)

/**
 * Why node_modules must be made anew, or undefined when it is what the lock file describes.
 *
 * Contents are compared rather than times: a checkout or an unpacked cache gives files any time it likes. npm
 * writes the inner lock file last, so an interrupted installation counts as none.
 */
function staleness() {
  const packages = (path) => {
    const { packages: all } = JSON.parse(readFileSync(join(root, path), 'utf8'))
    return new Map(Object.entries(all).filter(([name]) => name !== ''))
  }
  if (!existsSync(join(root, 'node_modules'))) return 'node_modules is missing'
  let installed
  try {
    installed = packages('node_modules/.package-lock.json')
  } catch {
    return 'node_modules is unfinished'
  }
  const wanted = packages('package-lock.json')
  for (const [name, { version, integrity, optional }] of wanted) {
    const found = installed.get(name)
    // An optional package that is absent belongs to another platform.
    if (found === undefined && !optional) return `${name} is missing`
    if (found !== undefined && (found.version !== version || found.integrity !== integrity))
      return `${name} is not the version of package-lock.json`
  }
  for (const name of installed.keys())
    if (!wanted.has(name)) return `${name} is no longer in package-lock.json`
  return undefined
}

/** What npm printed, turned into the one thing to do about it. */
const remedies = [
  [
    /EUSAGE|can only install packages when/,
    'package.json and package-lock.json disagree: check both out again, or update them together',
  ],
  [
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|network/,
    'the package registry could not be reached: check the network, and `npm config get registry`, `https-proxy`',
  ],
  [
    /CERT|SELF_SIGNED|UNABLE_TO_/,
    'the TLS certificate of the registry or a proxy is not trusted: give npm its authority with `npm config set cafile <file>`',
  ],
  [/E40[137]/, 'the registry refused: check `npm config get registry` and its login'],
  [
    /EINTEGRITY/,
    'a downloaded package is not the one in the lock file: run `npm cache clean --force` and try again',
  ],
  [/ENOSPC/, 'the disk is full: free about 700 MB'],
  [
    /EACCES|EPERM|EROFS/,
    'this user may not write here: make the folder yours, or run as its owner',
  ],
]

/** Runs `npm ci`, passing its words on, and ends this process when it fails. */
async function install(why) {
  say(`${why}, running npm ci (about 20 s)`)
  // The npm that runs this script, by the Node that runs that npm; from a plain shell, the one on the PATH.
  // Not the Node inside node_modules: npm is about to delete it.
  const { npm_execpath: script, npm_node_execpath: node } = process.env
  const words = [
    'ci',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const env = { ...process.env }
  for (const name of Object.keys(env))
    if (name.toUpperCase() === 'PATH')
      env[name] = env[name]
        ?.split(delimiter)
        .filter((folder) => folder !== join(root, 'node_modules', '.bin'))
        .join(delimiter)
  const windows = process.platform === 'win32'
  const child =
    script && node && existsSync(script) && existsSync(node)
      ? spawn(node, [script, ...words], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
      : spawn('npm', words, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], shell: windows })
  let heard = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      heard += chunk
      process.stderr.write(chunk)
    })
  const failure = await new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) =>
      resolve(code === 0 ? undefined : (signal ?? `exit ${code}`)),
    )
  })
  if (failure === undefined) return
  const remedy = /ENOENT/.test(failure)
    ? 'npm was not found: install Node 20 or newer together with its npm'
    : (remedies.find(([pattern]) => pattern.test(heard))?.[1] ?? 'see what npm wrote above')
  say(`npm ci failed (${failure}); ${remedy}.`)
  process.exit(1)
}

/** Ends this process with advice when the `node` that npm scripts find first is too old. */
function checkNode() {
  const bundled = join(root, 'node_modules', '.bin', 'node')
  const major = (version) => Number.parseInt(version.replace(/^v/, ''), 10)
  if (!existsSync(bundled)) {
    if (major(process.versions.node) >= leastMajor) return
    const known = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
    say(
      known
        ? `the Node ${leastMajor} that comes with the dependencies is absent; run \`npm ci --include=optional\`.`
        : `Node ${leastMajor} or newer is needed here and this is ${process.version}; get it from nodejs.org or your version manager.`,
    )
    process.exit(1)
  }
  const answer = spawnSync(bundled, ['--version'], { encoding: 'utf8' })
  if (answer.status === 0 && major(answer.stdout) >= leastMajor) return
  say(
    answer.status === 0
      ? `node_modules/.bin/node is ${answer.stdout.trim()} and Node ${leastMajor} is needed; run \`npm ci\`.`
      : `node_modules/.bin/node does not run on this system (it needs glibc 2.28 or newer): ${answer.error?.message ?? answer.stderr.trim()}`,
  )
  process.exit(1)
}

const why = staleness()
if (why !== undefined) await install(why)
checkNode()
