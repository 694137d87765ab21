import { request } from 'node:http'
import { describe, expect, it } from 'vitest'
import { useRig } from './rig.ts'

const rig = useRig()
const BATCH = '01900000-0000-7000-8000-00000000000b'

/** Sends headers and the beginning of a body that never ends; resolves with the answer's status. */
function beginBody(path: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(`${rig.door.url}/agent/v1/${path}`, {
      method: 'POST',
      headers: { 'transfer-encoding': 'chunked', ...headers },
    })
    call.on('response', (answer) => {
      resolve(answer.statusCode ?? 0)
      call.destroy()
    })
    call.on('error', reject)
    call.write('{')
  })
}

describe('a stranger', () => {
  it('is turned away before its body is read', async () => {
    for (const path of [
      'events',
      'renew',
      'poll',
      `batches/${BATCH}/commit`,
      `batches/${BATCH}/page`,
    ]) {
      expect(await beginBody(path, {}), path).toBe(401)
      expect(await beginBody(path, { authorization: 'Bearer hf_session_x' }), path).toBe(401)
    }
  })
})
