// The first start: a vault to keep things in, and a token for the first admin.
import type { ApiTokens } from '../core/api-tokens.ts'
import type { Vaults } from '../core/vaults.ts'

/** Name of the vault on the control plane's own disk. */
const FIRST_VAULT = 'local'

/** Makes the disk vault the default if there is no vault at all. */
export async function ensureVault(vaults: Pick<Vaults, 'list' | 'add'>): Promise<void> {
  if ((await vaults.list()).length > 0) return
  await vaults.add({ name: FIRST_VAULT, place: { kind: 'disk' } }, undefined)
}

/**
 * A token for the first admin; undefined when there is a live one already, unless `another` asks for one
 * more: whoever may read the data directory is the last resort of a fleet that lost its tokens.
 */
export async function firstAdminToken(
  apiTokens: Pick<ApiTokens, 'hasAdmin' | 'create'>,
  another: boolean,
): Promise<string | undefined> {
  if (!another && (await apiTokens.hasAdmin())) return undefined
  const name = another ? 'made on the machine' : 'first admin'
  return (await apiTokens.create({ name, role: 'admin' }, undefined)).token
}
