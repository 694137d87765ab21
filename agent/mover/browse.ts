// What a person reads out of a snapshot: names and bytes, sealed to them before they leave the host.
import { snapshotPath } from '../../shared/backup/source.ts'
import { permissionBits } from '../repository/mode.ts'
import { formatTime } from '../repository/time.ts'
import type { TreeNode } from '../repository/tree.ts'
import type { Batch, JobOf } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import { pagesOfBytes, pagesOfLines, sendPages } from './pages.ts'
import { openForReading } from './reading.ts'
import type { JobEnd } from './reporter.ts'
import { findNode } from './snapshot-path.ts'

type LoadTree = (id: string) => Promise<readonly TreeNode[]>

/** Rejects with `snapshot-missing` for a path that is not there. */
export async function runBrowse(batch: Batch, job: JobOf<'browse'>): Promise<JobEnd> {
  const { parameters } = job.assigned
  const { signal } = job
  const { snapshot, reader } = await openForReading(batch, job, {
    snapshot: parameters.snapshot,
    signal,
  })
  const path = [
    ...partsOf(Buffer.from(snapshotPath(parameters.source))),
    ...partsOf(Buffer.from(parameters.path, 'base64')),
  ]
  const node = await findNode(path, snapshot.tree, reader.loadTree)
  if (node === undefined) {
    throw new JobFailure('snapshot-missing', 'the path is not in the snapshot')
  }
  let entries = 0
  async function* counted(nodes: AsyncIterable<string>): AsyncGenerator<string> {
    for await (const line of nodes) {
      signal.throwIfAborted()
      entries++
      batch.reporter.progress(job.assigned.id, { phase: 'listing', files: entries, bytes: 0 })
      yield line
    }
  }
  const pieces =
    parameters.what === 'file'
      ? pagesOfBytes(reader.loadFile(contentOf(node)))
      : pagesOfLines(counted(listing(node, parameters.what === 'tree', reader.loadTree)))
  const bytes = await sendPages(pieces, parameters.recipient, async (page, last, sealed) => {
    const body = { ...job.attempt, page, last, bytes: sealed }
    await batch.plane.ask('page', body, { signal })
  })
  const milliseconds = Math.round(batch.clock.monotonic() - job.begunAt())
  const isFile = parameters.what === 'file'
  const counts = { files: isFile ? 1 : entries, bytes: isFile ? bytes : 0, milliseconds }
  return { outcome: 'succeeded', reason: 'completed', counts }
}

/** The components of a raw path; slashes at the ends do not matter. */
function partsOf(path: Buffer): Buffer[] {
  return path
    .toString('latin1')
    .split('/')
    .filter((part) => part !== '')
    .map((part) => Buffer.from(part, 'latin1'))
}

function contentOf(node: TreeNode): readonly string[] {
  if (node.type === 'file' && node.content !== undefined) return node.content
  throw new JobFailure('snapshot-missing', 'the path is in the snapshot and is not a file')
}

/** One directory, or all below it; a file stands for itself. */
async function* listing(node: TreeNode, deep: boolean, loadTree: LoadTree): AsyncGenerator<string> {
  if (node.subtree === undefined) yield entryLine(node.name, node)
  else yield* below(Buffer.alloc(0), node.subtree, deep, loadTree)
}

async function* below(
  above: Buffer,
  tree: string,
  deep: boolean,
  loadTree: LoadTree,
): AsyncGenerator<string> {
  for (const node of await loadTree(tree)) {
    const path = above.length === 0 ? node.name : Buffer.concat([above, slash, node.name])
    yield entryLine(path, node)
    if (deep && node.subtree !== undefined) yield* below(path, node.subtree, deep, loadTree)
  }
}

const slash = Buffer.from('/')

/**
 * One entry as a line of JSON: `name` and `linktarget` are base64 of raw bytes (in a deep listing `name` is the
 * path relative to the directory asked for), `mode` the permission bits, `mtime` RFC 3339 with nanoseconds.
 */
function entryLine(name: Buffer, node: TreeNode): string {
  const { type, size, mtime, mode, uid, gid, linkTarget } = node
  return JSON.stringify({
    name: name.toString('base64'),
    type,
    size: Number(size ?? 0n),
    mtime: formatTime(mtime),
    mode: permissionBits(mode),
    uid,
    gid,
    ...(linkTarget === undefined ? {} : { linktarget: linkTarget.toString('base64') }),
  })
}
