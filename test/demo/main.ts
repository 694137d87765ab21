// `npm run demo`: the main job end to end, on real data, with the product as a user starts it.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { formatBytes } from '../../control-plane/cli/output.ts'
import { freePorts } from '../rig/ports.ts'
import { makeAwkwardTree } from '../support/awkward-tree.ts'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import { type Product, startProduct } from '../support/product.ts'
import { changeBody } from '../support/tree-body.ts'
import { type DemoEngine, findEngine } from './engine.ts'
import { checkByRestic, checkByUs } from './judges.ts'

/** Ordinary content beside the awkward entries, in bytes. */
const BODY = 200_000_000

const { values: flags } = parseArgs({
  options: { keep: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
})
const say = (line: string) => process.stderr.write(`${line}\n`)

interface Place {
  /** As the command names it. */
  readonly words: readonly string[]
  /** Name of the volume, or the directory. */
  readonly name: string
  readonly path: string
}

interface Counts {
  readonly bytes: number
  readonly bytesStored: number
  readonly milliseconds: number
}

const seconds: Record<string, number> = {}

/** Runs a step, says what it is, and notes how long it took. */
async function timed<T>(name: string, sentence: string, step: () => Promise<T> | T): Promise<T> {
  say(sentence)
  const begun = performance.now()
  const result = await step()
  seconds[name] = Math.round(performance.now() - begun) / 1_000
  return result
}

async function demo(folder: string, engine: DemoEngine | undefined): Promise<void> {
  const tag = folder.slice(-6).toLowerCase()
  const source = await makeSource(folder, engine, `holdfast-demo-${tag}`)
  const leftOut = await timed(
    'fill',
    `Filling ${source.name} with awkward content and ${formatBytes(BODY)} of files.`,
    () => makeAwkwardTree(source.path, { bodyBytes: BODY, seed: 'demo' }),
  )
  for (const what of leftOut) say(`  this machine could not make: ${what}`)

  const [port] = await freePorts(1)
  const product = await timed('start', 'Starting control plane and agent (`holdfast up`).', () =>
    startProduct({
      data: join(folder, 'holdfast'),
      port: port!,
      name: 'demo',
      dockerHost: engine?.address,
    }),
  )
  try {
    await story(folder, engine, source, product, `holdfast-demo-${tag}-restored`)
  } finally {
    await product.stop()
  }
}

async function story(
  folder: string,
  engine: DemoEngine | undefined,
  source: Place,
  product: Product,
  restoredName: string,
): Promise<void> {
  await untilOffered(product, source)
  const first = await timed('firstBackup', 'First backup.', () => backup(product, source))
  const change = changeBody(join(source.path, 'body'), 'demo')
  say(
    `Changed ${formatBytes(change.bytes)} in ${change.filesChanged + change.filesAdded + change.filesRemoved} files.`,
  )
  const second = await timed('secondBackup', 'Second backup.', () => backup(product, source))

  const { repository, passwordFile } = findRepository(join(folder, 'holdfast'))
  const password = readFileSync(passwordFile, 'utf8').trim()
  const checked = await timed('check', 'Checking every byte with our verifier.', () =>
    checkByUs(repository, password),
  )
  const restic = await timed('resticCheck', 'Checking every byte with stock restic.', () =>
    checkByRestic(repository, password, say),
  )
  if ('missing' in restic) say(`  NOT CHECKED BY RESTIC: ${restic.missing}`)

  const target =
    engine === undefined
      ? ['--to-directory', join(folder, 'restored')]
      : ['--to-volume', restoredName]
  const restored = await timed('restore', 'Restoring the second snapshot.', () =>
    product.run('restore', second.snapshot, ...target),
  )
  if (restored.outcome !== 'succeeded')
    throw new Error(`the restore ended as ${restored.outcome}: ${restored.message}`)
  const restoredPath =
    engine === undefined ? join(folder, 'restored') : await mountpoint(engine, restoredName)
  const comparison = await timed('compare', 'Comparing every byte and attribute.', () =>
    compareTrees(source.path, restoredPath, { ignoreSockets: true }),
  )
  for (const difference of comparison.differences.slice(0, 20))
    say(`  ${printDifference(difference)}`)

  const stored = first.counts.bytesStored + second.counts.bytesStored
  const bytes = {
    source: second.counts.bytes,
    storedFirst: first.counts.bytesStored,
    storedSecond: second.counts.bytesStored,
    compared: comparison.bytes,
  }
  say('')
  say(
    tableOf([
      [
        'first backup',
        formatBytes(bytes.source),
        speed(first.counts),
        `${formatBytes(bytes.storedFirst)} stored`,
      ],
      [
        'second backup',
        formatBytes(bytes.source),
        speed(second.counts),
        `${formatBytes(bytes.storedSecond)} stored`,
      ],
      [
        'restore',
        formatBytes(bytes.source),
        speed(restored.counts as Counts),
        `${comparison.entries} entries, ${comparison.differences.length} differences`,
      ],
      [
        'check by us',
        '',
        `${seconds.check} s`,
        `${checked.snapshots} snapshots, ${checked.trees} trees, ${formatBytes(checked.bytesRead)} in ${checked.packsRead} packs: clean`,
      ],
      [
        'check by restic',
        '',
        `${seconds.resticCheck} s`,
        'missing' in restic ? `not run: ${restic.missing}` : `restic ${restic.version}: clean`,
      ],
      [
        'both snapshots',
        formatBytes(first.counts.bytes + second.counts.bytes),
        '',
        `${((first.counts.bytes + second.counts.bytes) / stored).toFixed(2)} × what is stored`,
      ],
    ]),
  )
  const ok = comparison.differences.length === 0
  say(
    ok
      ? 'Restored byte for byte, with every attribute.'
      : `NOT EQUAL: ${comparison.differences.length} differences.`,
  )
  if (!ok) process.exitCode = 1
  if (flags.keep) {
    say(`\nKept in ${folder}. Look at it with stock restic:`)
    say(`  RESTIC_PASSWORD_FILE=${passwordFile} restic -r ${repository} snapshots`)
    if (engine?.private)
      say(`  The private Docker engine still runs: DOCKER_HOST=${engine.address}`)
  }
  if (flags.json) {
    process.stdout.write(
      `${JSON.stringify({
        ok,
        repository,
        passwordFile,
        snapshots: [first.snapshot, second.snapshot],
        volume: source.name,
        restoredVolume: engine === undefined ? restoredPath : restoredName,
        seconds,
        bytes,
        ...(engine === undefined
          ? {}
          : {
              dockerHost: engine.address,
              volumePath: source.path,
              restoredVolumePath: restoredPath,
            }),
      })}\n`,
    )
  }
}

async function makeSource(
  folder: string,
  engine: DemoEngine | undefined,
  name: string,
): Promise<Place> {
  if (engine === undefined) {
    const path = join(folder, 'source')
    mkdirSync(path)
    // The host's own file says which of its directories may be backed up.
    const state = join(folder, 'holdfast', 'agent')
    mkdirSync(state, { recursive: true, mode: 0o700 })
    writeFileSync(
      join(state, 'host.yaml'),
      `directories: [${path}]\nrestoreDirectories: [${folder}]\n`,
    )
    return { words: ['--directory', path], name: path, path }
  }
  await engine.docker.createVolume({ Name: name, Labels: { 'holdfast.demo': 'true' } })
  return { words: ['--volume', name], name, path: await mountpoint(engine, name) }
}

async function mountpoint(engine: DemoEngine, name: string): Promise<string> {
  return (await engine.docker.getVolume(name).inspect()).Mountpoint
}

/** The agent tells what the host has a moment after it connected. */
async function untilOffered(product: Product, source: Place): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { json } = await product.attempt('sources')
    if (json.some((one) => one.name === source.name)) return
    await new Promise((done) => setTimeout(done, 200))
  }
  throw new Error(`the host never offered ${source.name}:\n${product.log().slice(-8_192)}`)
}

async function backup(
  product: Product,
  source: Place,
): Promise<{ snapshot: string; counts: Counts }> {
  const job = await product.run('backup', ...source.words)
  if (job.outcome !== 'succeeded')
    throw new Error(`the backup ended as ${job.outcome}: ${job.message}`)
  return { snapshot: job.snapshot as string, counts: job.counts as Counts }
}

function findRepository(data: string): { repository: string; passwordFile: string } {
  const vaults = join(data, 'vaults')
  const [vault] = readdirSync(vaults)
  const repositories = join(vaults, vault!, 'repositories')
  const [id] = readdirSync(repositories)
  return {
    repository: join(repositories, id!),
    passwordFile: join(data, 'agent', 'repository.password'),
  }
}

function speed({ bytes, milliseconds }: Counts): string {
  return `${(milliseconds / 1_000).toFixed(1)} s, ${(bytes / 1_000 / milliseconds).toFixed(0)} MB/s`
}

function tableOf(rows: string[][]): string {
  const table = new Table({
    head: ['step', 'content', 'time', 'result'],
    style: { head: [], border: [] },
  })
  table.push(...rows)
  return table.toString()
}

const folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
const begun = performance.now()
let engine: DemoEngine | undefined
try {
  const found = await findEngine(folder, say)
  if (typeof found === 'string') say(`${found}. Going on with a directory.`)
  else engine = found
  await demo(folder, engine)
  say(`${((performance.now() - begun) / 1_000).toFixed(1)} s in all.`)
} catch (error) {
  say(`The demo failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  process.exitCode = 1
  if (flags.json) process.stdout.write(`${JSON.stringify({ ok: false, seconds })}\n`)
} finally {
  if (!flags.keep) {
    await removeVolumes(engine)
    await engine?.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
process.exit()

/** What the demo made in an engine that was there before. */
async function removeVolumes(engine: DemoEngine | undefined): Promise<void> {
  if (engine === undefined || engine.private) return
  const tag = folder.slice(-6).toLowerCase()
  for (const { Name } of (await engine.docker.listVolumes()).Volumes ?? []) {
    if (Name.startsWith(`holdfast-demo-${tag}`)) await engine.docker.getVolume(Name).remove()
  }
}
