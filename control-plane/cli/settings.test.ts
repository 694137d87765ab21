import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { readSettings, settingsPath, writeSettings } from './settings.ts'

const token = `hf_api_${'0'.repeat(16)}_${'a'.repeat(64)}`
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-settings-'))
})

describe('the settings of the command', () => {
  it('come from the file that was written, which only its owner can read', async () => {
    const env = { XDG_CONFIG_HOME: folder }
    const path = await writeSettings(env, { url: 'http://127.0.0.1:8420', token })
    expect(path).toBe(settingsPath(env))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(await readSettings(env)).toEqual({ url: 'http://127.0.0.1:8420', token })
  })

  it('come from the environment first, the token also from a file it names', async () => {
    writeFileSync(join(folder, 'token'), `${token}\n`)
    const env = {
      XDG_CONFIG_HOME: folder,
      HOLDFAST_URL: 'https://plane.example/',
      HOLDFAST_TOKEN_FILE: join(folder, 'token'),
    }
    expect(await readSettings(env)).toEqual({ url: 'https://plane.example', token })
  })

  it('say what is missing and what to do', async () => {
    await expect(readSettings({ XDG_CONFIG_HOME: folder })).rejects.toMatchObject({
      code: 'unauthenticated',
      message: `no control plane is configured: HOLDFAST_URL is not set and ${folder}/holdfast/client.json does not exist`,
      hint: expect.stringContaining('holdfast up'),
    })
  })

  it('name the broken field, and never show the token', async () => {
    const env = {
      XDG_CONFIG_HOME: folder,
      HOLDFAST_URL: 'https://plane.example',
      HOLDFAST_TOKEN: 'swordfish',
    }
    const error = await readSettings(env).catch((caught: Error) => caught)
    expect((error as Error).message).toBe('HOLDFAST_TOKEN: is not an API token (hf_api_…)')
    await expect(
      readSettings({ ...env, HOLDFAST_TOKEN: token, HOLDFAST_URL: 'plane.example' }),
    ).rejects.toThrow('HOLDFAST_URL: "plane.example" is not an http(s) URL')
  })

  it('send no token over plain http, except to this machine', async () => {
    const env = { XDG_CONFIG_HOME: folder, HOLDFAST_TOKEN: token }
    for (const url of [
      'http://plane.example',
      'http://10.0.0.1:8420',
      'http://localhost.example',
    ]) {
      await expect(readSettings({ ...env, HOLDFAST_URL: url }), url).rejects.toThrow(
        'is plain http to another machine',
      )
    }
    for (const url of ['http://localhost:8420', 'http://[::1]:8420', 'https://10.0.0.1']) {
      expect((await readSettings({ ...env, HOLDFAST_URL: url })).url).toBe(url)
    }
  })

  it('are refused when the file holds something else, which is left as it is', async () => {
    const path = join(folder, 'client.json')
    writeFileSync(path, '{"url": 3}')
    await expect(readSettings({ HOLDFAST_CLIENT_FILE: path })).rejects.toThrow(
      'is not a settings file',
    )
    expect(readFileSync(path, 'utf8')).toBe('{"url": 3}')
  })
})
