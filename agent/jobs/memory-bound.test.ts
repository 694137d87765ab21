import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { makeMemoryBound, ownMemoryGroup } from './memory-bound.ts'

const MIB = 2 ** 20

describe('the group that counts memory', () => {
  const v1 = '31 24 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n'
  const v2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n'

  it('is found in both versions, and below the root of a mount', () => {
    const path = '/system.slice/holdfast-agent.service'
    expect(ownMemoryGroup(`0::${path}\n`, v2)).toEqual({
      path: `/sys/fs/cgroup${path}`,
      version: 2,
    })
    expect(ownMemoryGroup(`4:memory:/docker/a\n0::/\n`, v1 + v2)).toEqual({
      path: '/sys/fs/cgroup/memory/docker/a',
      version: 1,
    })
    const bound = '31 24 0:27 /docker/a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n'
    expect(ownMemoryGroup('4:memory:/docker/a\n', bound)?.path).toBe('/sys/fs/cgroup/memory')
    expect(ownMemoryGroup('', '')).toBeUndefined()
    expect(ownMemoryGroup('0::/x\n', v1)).toBeUndefined()
  })
})

describe('a memory bound', () => {
  it('ends a process that goes beyond it, and says so; or there is none on this machine', async () => {
    // Waits for a line, so that it is bound before it takes what it should not.
    const script = `process.stdin.once('data', () => { const kept = []
      for (let i = 0; i < 600; i++) kept.push(Buffer.alloc(${MIB}, i + 1))
      process.exit(kept.length === 600 ? 0 : 1) })`
    const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'ignore', 'ignore'] })
    const ended = once(child, 'exit')
    const bound = makeMemoryBound('test', child.pid!)
    bound?.limit(160 * MIB)
    child.stdin.end('go\n')
    const [code, signal] = await ended
    if (bound === undefined) expect(code).toBe(0)
    else {
      expect(signal).toBe('SIGKILL')
      expect(bound.wasExceeded).toBe(true)
      bound.remove()
    }
  }, 30_000)
})
