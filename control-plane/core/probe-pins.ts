// Does the store hold a grant's holder to what was signed: bytes, length, name, method, time, once?
import { equalBytes } from '../../shared/bytes.ts'
import { HOUR } from '../../shared/clock.ts'
import type { VaultCapabilities } from '../../shared/vault/vault.ts'
import type { ProbePins } from '../ports/vault-subject.ts'
import type { ProbeDeps } from './probe.ts'
import { accepted, type ProbeBench } from './probe-bench.ts'

export async function checkPins(
  deps: ProbeDeps,
  bench: ProbeBench,
): Promise<Partial<VaultCapabilities>> {
  const ifNoneMatch = await checkRightPut(bench)
  if (bench.pins === undefined) return { ifNoneMatch }
  const enforcesSha256 = await checkOtherBytes(bench)
  const enforcesMd5 = await checkMd5(bench)
  if (!enforcesSha256) {
    const saw = 'other bytes than the signed SHA-256 were stored'
    if (enforcesMd5) {
      bench.warning('content', `${saw}; their MD5 is checked, so grants sign that too`, {
        remedy: 'backups to this store spend a tenth more of the CPU on MD5',
      })
    } else {
      bench.danger('content', `${saw}, and so were bytes with another MD5`, {
        remedy: 'a stolen host could store anything under any name of its own: use another store',
      })
    }
  }
  return {
    ifNoneMatch,
    enforcesSha256,
    enforcesMd5,
    enforcesLength: await checkLength(bench),
    bindsMethodAndKey: await checkMethodAndKey(deps, bench),
  }
}

/** A right PUT, then the same again. Sets the pins that grants of this store will carry. */
async function checkRightPut(bench: ProbeBench): Promise<VaultCapabilities['ifNoneMatch']> {
  const full: ProbePins = { ...bench.subject.pins, md5: false }
  const object = await bench.object('right', 300)
  const first = await bench.put(object, { grant: await bench.sign(object, { pins: full }) })
  if (!accepted(first)) {
    const without = { ...full, ifNoneMatch: false }
    const second = await bench.put(object, { grant: await bench.sign(object, { pins: without }) })
    if (!accepted(second)) {
      bench.danger('grant', `a right upload by signed URL was refused (${first.status})`, {
        remedy: 'check region and endpoint, and that the access key may write objects',
      })
      return null
    }
    bench.pins = without
    bench.note('write-once', `the store does not know if-none-match (${first.status})`, {
      remedy: 'names are hashes of their bytes, so an overwrite can only store the same bytes',
    })
    return 'rejected'
  }
  bench.pins = full
  bench.ok('grant', 'a right upload by signed URL is stored')
  const again = await bench.put(object, { grant: await bench.sign(object) })
  if (again.status === 412) {
    bench.ok('write-once', 'a second upload under the same name answers 412')
    return 'enforced'
  }
  if (accepted(again)) {
    bench.note('write-once', 'a second upload under the same name was accepted', {
      remedy: 'names are hashes of their bytes, so an overwrite can only store the same bytes',
    })
    return 'ignored'
  }
  bench.note('write-once', `a second upload under the same name answered ${again.status}`)
  return null
}

/** True when other bytes of the same length are refused and nothing is stored. */
async function checkOtherBytes(bench: ProbeBench): Promise<boolean> {
  const object = await bench.object('other-bytes', 300)
  const answer = await bench.put(object, { body: flipped(object.bytes) })
  const kept = await bench.holds(object.key)
  if (accepted(answer) || kept !== undefined) return false
  bench.ok('content', `bytes with another SHA-256 are refused (${answer.status})`)
  return true
}

async function checkMd5(bench: ProbeBench): Promise<boolean | null> {
  if (!bench.subject.pins.md5 || bench.pins === undefined) return null
  const object = await bench.object('other-md5', 300)
  const pins = { ...bench.pins, sha256: false, md5: true }
  const grant = await bench.sign(object, { pins })
  const answer = await bench.put(object, { grant, body: flipped(object.bytes) })
  return !accepted(answer) && (await bench.holds(object.key)) === undefined
}

async function checkLength(bench: ProbeBench): Promise<boolean> {
  const failed: string[] = []
  for (const [name, length] of [
    ['longer', 301],
    ['shorter', 299],
  ] as const) {
    const object = await bench.object(name, 300)
    const body = new Uint8Array(length)
    body.set(object.bytes.subarray(0, Math.min(300, length)))
    const replace = { 'content-length': String(length) }
    const answer = await bench.put(object, { replace, body })
    const kept = await bench.holds(object.key)
    if (accepted(answer) || kept !== undefined) failed.push(name)
  }
  if (failed.length === 0) {
    bench.ok('length', 'longer and shorter bodies are refused')
    return true
  }
  bench.danger('length', `a ${failed.join(' and a ')} body than signed was stored`, {
    remedy: 'a stolen host could fill the bucket with one grant: use another store',
  })
  return false
}

async function checkMethodAndKey(deps: ProbeDeps, bench: ProbeBench): Promise<boolean> {
  const failed: string[] = []
  const mine = await bench.object('mine', 300)
  const grant = await bench.sign(mine)
  const moved = await bench.object('moved', 300)
  await bench.put(mine, { url: grant.url.replace(mine.key, moved.key), grant })
  if ((await bench.holds(moved.key)) !== undefined) failed.push('a PUT under another name')

  const kept = await bench.stored('kept')
  if (kept !== undefined) {
    const { url } = await bench.read('kept')
    for (const method of ['PUT', 'DELETE']) {
      const body = method === 'PUT' ? { body: new Uint8Array(10) } : {}
      const headers: [string, string][] = method === 'PUT' ? [['content-length', '10']] : []
      await bench.send({ method, url, headers, ...body })
      const now = await bench.holds(kept.key)
      if (now === undefined || !equalBytes(now, kept.bytes)) failed.push(`a ${method} by a GET URL`)
    }
    const head = await bench.send({ method: 'HEAD', url, headers: [] })
    if (accepted(head)) bench.note('method', 'a GET URL serves HEAD as well')
  }
  const late = await bench.object('late', 300)
  const expired = await bench.sign(late, { at: deps.clock.now() - HOUR })
  await bench.put(late, { grant: expired })
  if ((await bench.holds(late.key)) !== undefined) failed.push('a PUT by an expired URL')

  const tampered = await bench.object('tampered', 300)
  const right = await bench.sign(tampered)
  const wrong = right.url.replace(
    /([Ss]ignature=)([0-9a-f])/,
    (_all, name, digit) => `${name}${digit === '0' ? '1' : '0'}`,
  )
  await bench.put(tampered, { grant: { ...right, url: wrong } })
  if ((await bench.holds(tampered.key)) !== undefined) failed.push('a PUT with a wrong signature')

  if (failed.length === 0) {
    bench.ok('method-and-key', 'a URL serves its own method, name and time, and nothing else')
    return true
  }
  bench.danger('method-and-key', `the store carried out ${failed.join(', ')}`, {
    remedy: 'this store does not check signatures: do not keep backups in it',
  })
  return false
}

function flipped(bytes: Uint8Array): Uint8Array {
  const other = Uint8Array.from(bytes)
  other[0] = other[0]! ^ 1
  return other
}
