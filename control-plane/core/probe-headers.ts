// What a grant's holder achieves with `x-amz-*` headers that nobody signed (CVE-2026-54330 on Ceph).
import { equalBytes } from '../../shared/bytes.ts'
import { formatInstant, MINUTE } from '../../shared/clock.ts'
import type { VaultCapabilities } from '../../shared/vault/vault.ts'
import type { ProbeDeps } from './probe.ts'
import { accepted, type ProbeBench } from './probe-bench.ts'

/** Headers to smuggle in, and the header of a GET that shows they were obeyed. */
function smuggled(now: number): { name: string; add: [string, string][]; shows: string }[] {
  return [
    { name: 'meta', add: [['x-amz-meta-probe', 'x']], shows: 'x-amz-meta-probe' },
    { name: 'tagging', add: [['x-amz-tagging', 'probe=x']], shows: 'x-amz-tagging-count' },
    {
      name: 'redirect',
      add: [['x-amz-website-redirect-location', 'https://example.com/']],
      shows: 'x-amz-website-redirect-location',
    },
    {
      name: 'lock',
      // Where it is obeyed the object stays for this minute: GOVERNANCE, as short as a store allows.
      add: [
        ['x-amz-object-lock-mode', 'GOVERNANCE'],
        ['x-amz-object-lock-retain-until-date', formatInstant(now + MINUTE)],
      ],
      shows: 'x-amz-object-lock-mode',
    },
  ]
}

export async function checkUnsignedHeaders(
  deps: ProbeDeps,
  bench: ProbeBench,
): Promise<Pick<VaultCapabilities, 'refusesUnsignedHeaders' | 'refusesSmuggledCopy'>> {
  // A disk vault knows no such headers; it refuses them all, and one try shows it.
  const obeyed: string[] = []
  for (const { name, add, shows } of smuggled(deps.clock.now())) {
    const object = await bench.object(`unsigned-${name}`, 300)
    const answer = await bench.put(object, { extra: add })
    if (!accepted(answer)) continue
    const { url } = await bench.read(`unsigned-${name}`)
    const read = await bench.send({ method: 'GET', url, headers: [] })
    if (read.headers[shows] !== undefined) obeyed.push(add[0]![0])
  }
  const opened = await checkAcl(bench)
  const stolen = await checkCopy(bench)
  if (stolen) {
    bench.danger(
      'smuggled-copy',
      'a grant holder could copy any object of the account to its own name, though everything was signed',
      {
        remedy:
          'no grants are given for this vault; use a store without CVE-2026-54330 (Ceph 20.2.4 or newer), or one bucket and key per host',
      },
    )
  } else bench.ok('smuggled-copy', 'a copy smuggled onto a signed upload steals nothing')
  if (opened) {
    bench.danger('acl', 'a grant holder could make its objects public', {
      remedy: 'forbid public ACLs on the bucket by a bucket policy, or use another store',
    })
  }
  if (obeyed.length > 0) {
    bench.warning(
      'unsigned-headers',
      `the store obeys headers that were not signed: ${obeyed.join(', ')}`,
      {
        remedy:
          'a stolen host could tag or lock its own new objects, which can cost money; bytes, length, name and privacy are signed and hold. A key limited to one bucket keeps it there',
      },
    )
  } else if (!opened) bench.ok('unsigned-headers', 'headers that were not signed change nothing')
  return { refusesUnsignedHeaders: obeyed.length === 0 && !opened, refusesSmuggledCopy: !stolen }
}

/** True when an object could be made public. */
async function checkAcl(bench: ProbeBench): Promise<boolean> {
  for (const [name, change] of [
    ['acl-replaced', { replace: { 'x-amz-acl': 'public-read' } }],
    ['acl-added', { extra: [['x-amz-acl', 'public-read']] }],
    ['acl-grant', { extra: [['x-amz-grant-read', EVERYBODY]] }],
  ] as const) {
    const object = await bench.object(name, 300)
    await bench.put(object, change)
    const { url } = await bench.read(name)
    const bare = url.replace(/\?.*$/, '')
    if (accepted(await bench.send({ method: 'GET', url: bare, headers: [] }))) return true
  }
  return false
}

/** True when the bytes of another object ended up under the name that was signed. */
async function checkCopy(bench: ProbeBench): Promise<boolean> {
  const secret = await bench.stored('secret')
  if (secret === undefined) return false
  const source = bench.subject.copySource(secret.key) ?? `/${secret.key}`
  const object = await bench.object('copy', 300)
  await bench.put(object, { extra: [['x-amz-copy-source', source]] })
  const kept = await bench.holds(object.key)
  return kept !== undefined && equalBytes(kept, secret.bytes)
}

const EVERYBODY = 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'
