// The mover as a process: what it does with a supervisor that does not speak its language.
import { spawn } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { exitCodes } from '../../agent/ipc/exit-codes.ts'
import { type FromMover, fromMover, type Start } from '../../agent/ipc/messages.ts'
import { uuid } from './drive.ts'

const moverFile = new URL('../../agent/mover/main.ts', import.meta.url).pathname

/** Writes `lines` to a mover's stdin, and ends it only if told to. */
function speak(lines: readonly string[], leave: boolean) {
  const child = spawn(process.execPath, [moverFile], { cwd: '/', env: {}, stdio: 'pipe' })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (part) => {
    stdout += part
  })
  child.stderr.on('data', (part) => {
    stderr += part
  })
  child.stdin.on('error', () => {})
  child.stdin.write(lines.map((line) => `${line}\n`).join(''))
  if (leave) child.stdin.end()
  return new Promise<{ code: number | null; said: FromMover[]; stderr: string }>((resolve) => {
    child.on('close', (code) => {
      const said = stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => fromMover.parse(JSON.parse(line)))
      resolve({ code, said, stderr })
    })
  })
}

const start = (): Start => {
  const id = uuid()
  return {
    type: 'start',
    batch: uuid(),
    host: uuid(),
    repository: { id: uuid(), hostname: 'web-1', epoch: 0, ready: true, foreign: false },
    jobs: [{ id, attempt: 1, fence: 1, parameters: { kind: 'verify', readData: false } }],
    prepared: [{ job: id, idShift: 0 }],
    password: 'CANARY-password',
    recipient: 'age1vhcklfnvukasrac0cfl5hdqp4fzgn7hsesarp6g2dghpeexs6vnqf89t4h',
    paths: { cache: '/nonexistent/holdfast/cache', work: '/nonexistent/holdfast/work' },
    network: {},
  }
}

describe('the process', () => {
  it.each([
    ['no JSON', 'hello'],
    ['another message', JSON.stringify({ type: 'lease', held: true })],
    ['a start that lacks something', JSON.stringify({ ...start(), recipient: undefined })],
  ])('ends with 2 at a first line that is %s, and repeats nothing of it', async (_, line) => {
    const { code, said, stderr } = await speak([line], false)
    expect(code).toBe(exitCodes.usage)
    expect(said).toEqual([])
    expect(stderr).toBe('')
  })

  it('ends with 75 when there is no supervisor', async () => {
    expect((await speak([], true)).code).toBe(exitCodes.orphaned)
    expect((await speak([JSON.stringify(start())], true)).code).toBe(exitCodes.orphaned)
  })

  it('says so and ends with 70 when the supervisor breaks the protocol later', async () => {
    const { code, said, stderr } = await speak([JSON.stringify(start()), '{"type":"huh"}'], false)
    expect(code).toBe(exitCodes.internal)
    expect(said.find((message) => message.type === 'log')).toMatchObject({
      level: 'error',
      message: 'A fault of the mover; jobs without an end are lost',
    })
    expect(said.some((message) => message.type === 'done')).toBe(false)
    expect(JSON.stringify(said) + stderr).not.toContain('CANARY')
  })
})
