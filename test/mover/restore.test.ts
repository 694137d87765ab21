// Restores by the real mover: beside and in place, by path, cut short and resumed, from another host's repository.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { makeAwkwardTree } from '../support/awkward-tree.ts'
import { type Aspect, compareTrees } from '../support/compare-trees.ts'
import { backupOf, makeHost, restoreOf, runMover, startMover } from './drive.ts'
import { Refused } from './fake-plane.ts'
import { openAge, type Scene, setScene } from './scene.ts'

describe('restore', () => {
  let scene: Scene
  let source: string
  let snapshot: string

  beforeAll(async () => {
    scene = await setScene()
    source = scene.make('source')
    makeAwkwardTree(source, { bodyBytes: 40_000_000, seed: 'restore' })
    const wish = backupOf('v', source, {
      prepared: {
        path: source,
        volume: { driver: 'local', labels: { a: 'b' }, options: { password: 'hush' } },
      },
    })
    const ran = await runMover(scene.host, scene.plane, [wish])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    snapshot = scene.plane.receipts[0]!.snapshot
  })
  afterAll(() => scene?.close())
  beforeEach(() => {
    scene.plane.onRequest = () => false
    scene.plane.onAsk = () => {}
  })

  const differences = (target: string, ...ignore: Aspect[]) =>
    compareTrees(source, target, { ignoreSockets: true, ignore }).differences

  it('takes the place of the live tree in one step and keeps the old one', async () => {
    const volume = scene.make('volume')
    const live = join(volume, '_data')
    mkdirSync(live)
    writeFileSync(join(live, 'old'), 'old content')
    const beside = join(volume, '_data.holdfast-job')
    const wish = {
      ...restoreOf(snapshot, 'v', live),
      prepared: { path: beside, exchangeWith: live },
    }
    const ran = await runMover(scene.host, scene.plane, [wish])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(differences(live)).toEqual([])
    expect(readFileSync(join(`${beside}.old`, 'old'), 'utf8')).toBe('old content')
    expect(readdirSync(volume).sort()).toEqual(['_data', '_data.holdfast-job.old'])
  })

  it('leaves the live tree alone when somebody began to use it while the new one was built', async () => {
    const volume = scene.make('used volume')
    const live = join(volume, '_data')
    mkdirSync(live)
    writeFileSync(join(live, 'old'), 'old content')
    const beside = join(volume, '_data.holdfast-job')
    scene.plane.onAsk = (name) => {
      if (name !== 'exchange') return
      expect(existsSync(join(beside, 'body'))).toBe(true)
      throw new Refused('in-use', 'containers began to use the volume')
    }
    const wish = {
      ...restoreOf(snapshot, 'v', live),
      prepared: { path: beside, exchangeWith: live },
    }
    const ran = await runMover(scene.host, scene.plane, [wish])
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'source-in-use' }])
    expect(readdirSync(live)).toEqual(['old'])
  })

  it('leaves the live tree alone when it is cancelled, and goes on when it is tried again', async () => {
    const volume = scene.make('cancelled volume')
    const live = join(volume, '_data')
    mkdirSync(live)
    writeFileSync(join(live, 'old'), 'old content')
    const beside = join(volume, '_data.holdfast-job')
    const wish = {
      ...restoreOf(snapshot, 'v', live),
      prepared: { path: beside, exchangeWith: live },
      id: '018f3c3e-0000-7000-8000-00000000000a',
    }
    let packs = 0
    const driving = startMover(scene.host, scene.plane, [wish])
    scene.plane.onRequest = (_request, _response, key) => {
      if (!key.startsWith('data/') || ++packs !== 2) return false
      driving.cancel(...driving.jobs)
      return true
    }
    const ran = await driving.ended
    expect(ran.done).toMatchObject([{ outcome: 'cancelled', reason: 'cancelled-by-person' }])
    expect(readdirSync(live)).toEqual(['old'])
    expect(existsSync(beside)).toBe(true)

    const again = await runMover(scene.host, scene.plane, [{ ...wish, attempt: 2 }])
    expect(again.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(differences(live)).toEqual([])
    const third = await runMover(scene.host, scene.plane, [{ ...wish, attempt: 3 }])
    expect(third.done).toMatchObject([
      { outcome: 'succeeded', message: 'an earlier attempt had put the restored tree in place' },
    ])
    expect(differences(live)).toEqual([])
  })

  it('refuses single paths in place: the rest would be gone', async () => {
    const wish = restoreOf(snapshot, 'v', '/unused')
    const parameters = { ...wish.parameters, paths: [Buffer.from('body').toString('base64')] }
    const ran = await runMover(scene.host, scene.plane, [
      {
        parameters: parameters as never,
        prepared: { path: '/unused/a', exchangeWith: '/unused/b' },
      },
    ])
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'target-invalid' }])
  })

  it('resumes after kill -9 and fetches less the second time', async () => {
    const target = scene.make('killed')
    const driving = startMover(scene.host, scene.plane, [restoreOf(snapshot, 'v', target)])
    let packs = 0
    scene.plane.onRequest = (_request, _response, key) => {
      // The second answer never comes: the mover is in the middle of it for certain.
      if (!key.startsWith('data/') || ++packs !== 2) return false
      driving.kill()
      return true
    }
    expect((await driving.ended).signal).toBe('SIGKILL')
    scene.plane.onRequest = () => false
    const ran = await runMover(scene.host, scene.plane, [restoreOf(snapshot, 'v', target)])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(differences(target)).toEqual([])
    // A third look finds everything there but files of several names, which are made anew: one small request.
    const from = scene.plane.requests.length
    const third = await runMover(scene.host, scene.plane, [restoreOf(snapshot, 'v', target)])
    expect(third.done).toMatchObject([{ outcome: 'succeeded' }])
    const fetched = scene.plane.requests.slice(from).filter(({ key }) => key.startsWith('data/'))
    expect(fetched.length).toBeLessThanOrEqual(1)
  })

  it('restores one path with the directories above it', async () => {
    const target = scene.make('one path')
    const wish = restoreOf(snapshot, 'v', target)
    const name = readdirSync(join(source, 'links'))[0]!
    const parameters = {
      ...wish.parameters,
      paths: [Buffer.from(`links/${name}`).toString('base64')],
    }
    const ran = await runMover(scene.host, scene.plane, [
      { ...wish, parameters: parameters as never },
    ])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(readdirSync(target)).toEqual(['links'])
    expect(readdirSync(join(target, 'links'))).toEqual([name])
  })

  it('opens the repository of another host with its recovery password', async () => {
    const other = await makeHost(scene.make('other state'))
    const password = await openAge(scene.plane.escrow!.sealed, scene.host.recovery.identity)
    const target = scene.make('other host')
    const ran = await runMover(other, scene.plane, [restoreOf(snapshot, 'v', target)], {
      password,
      repository: {
        id: scene.host.repository,
        hostname: 'web-1',
        epoch: 0,
        ready: true,
        foreign: true,
      },
    })
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(differences(target)).toEqual([])
    expect(ran.said).not.toContain(password)
  })

  it('seals the options of a volume to the host and to the operator', async () => {
    const { volume } = scene.plane.receipts[0]!
    expect(volume).toMatchObject({ driver: 'local', labels: { a: 'b' } })
    for (const { identity } of [scene.host.own, scene.host.recovery]) {
      expect(JSON.parse(await openAge(volume!.sealedOptions!, identity))).toEqual({
        password: 'hush',
      })
    }
    expect(JSON.stringify(scene.plane.asked)).not.toContain('hush')
  })

  it('says which snapshot or source is missing', async () => {
    const ran = await runMover(scene.host, scene.plane, [
      restoreOf('e'.repeat(64), 'v', scene.make('a')),
      restoreOf(snapshot, 'w', scene.make('b')),
    ])
    expect(ran.done).toMatchObject([
      { outcome: 'failed', reason: 'snapshot-missing' },
      { outcome: 'failed', reason: 'snapshot-missing' },
    ])
  })
})
