// Reading names and bytes out of a snapshot: a one-time key is made here, and only here can the pages be opened.
import { generateIdentity, identityToRecipient } from 'age-encryption'
import * as z from 'zod'
import { fromBase64, toBase64, utf8 } from '../../shared/bytes.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { answerOf } from './api.ts'
import type { Context } from './context.ts'
import { exitCodeOfOutcome } from './exit-code.ts'
import { lookAt } from './follow.ts'
import { openSealed } from './recovery-kit.ts'

/** One entry of a listing, as the host sealed it. */
export const entry = z.object({
  /** Raw bytes of the name (of the relative path in a deep listing), base64. */
  name: z.string(),
  type: z.string(),
  size: z.number(),
  mtime: z.string(),
  mode: z.number(),
  uid: z.number(),
  gid: z.number(),
  linktarget: z.string().optional(),
})
export type Entry = z.infer<typeof entry>

/** Seconds one request waits for the next page. */
const PAGE_WAIT = '20'

/** The opened pages of a browse job, in order. `path` is relative to the source's root. */
export async function* browse(
  context: Context,
  wanted: { snapshot: string; path: string; what: 'list' | 'tree' | 'file' },
): AsyncGenerator<Uint8Array> {
  const identity = await generateIdentity()
  const { jobs } = await context.api()
  const { id } = await answerOf(
    jobs.browse.$post({
      json: {
        snapshot: wanted.snapshot,
        path: toBase64(utf8(wanted.path.replace(/^\/+|\/+$/g, ''))),
        what: wanted.what,
        recipient: await identityToRecipient(identity),
      },
    }),
  )
  for (let number = 0; ; number++) {
    const page = await nextPage(context, id, number)
    yield await openSealed(fromBase64(page.sealed), [identity])
    if (page.last) return
  }
}

async function nextPage(context: Context, id: string, number: number) {
  const { jobs } = await context.api()
  for (;;) {
    context.signal.throwIfAborted()
    // Looked at before the page: a job that ended without it will not send it any more.
    const job = await lookAt(context, id)
    try {
      return await answerOf(
        jobs[':id'].pages[':page'].$get({
          param: { id, page: String(number) },
          query: { wait: PAGE_WAIT },
        }),
      )
    } catch (error) {
      const absent = error instanceof HoldfastError && error.code === 'not-found'
      if (!absent) throw error
      if (job.state !== 'finished') continue
      context.exitCode = Math.max(
        context.exitCode,
        exitCodeOfOutcome(job.outcome ?? 'failed', job.reason),
      )
      throw new HoldfastError(
        job.reason === 'snapshot-missing' ? 'not-found' : 'internal',
        job.message ?? `the host could not read it: ${job.reason}`,
      )
    }
  }
}

/** The entries of a `list` or `tree`, as they come. */
export async function* entries(pages: AsyncIterable<Uint8Array>): AsyncGenerator<Entry> {
  for await (const page of pages) {
    for (const line of new TextDecoder().decode(page).split('\n')) {
      if (line !== '') yield entry.parse(JSON.parse(line))
    }
  }
}
