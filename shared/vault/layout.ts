// Where things lie in a vault. Ids, never host names.

export function repositoryPrefix(repository: string): string {
  return `repositories/${repository}/`
}
export function packKey(repository: string, pack: string): string {
  return `${repositoryPrefix(repository)}data/${pack.slice(0, 2)}/${pack}`
}
export function indexKey(repository: string, index: string): string {
  return `${repositoryPrefix(repository)}index/${index}`
}
export function smallKey(
  repository: string,
  what: 'key' | 'snapshot' | 'lock',
  name: string,
): string {
  return `${repositoryPrefix(repository)}${what}s/${name}`
}
export function configKey(repository: string): string {
  return `${repositoryPrefix(repository)}config`
}
export function escrowKey(repository: string, n: number): string {
  return `holdfast/v1/escrow/${repository}/${n}.age`
}
/** A signed receipt, numbered per repository. */
export function receiptKey(repository: string, sequence: number): string {
  return `holdfast/v1/hosts/${repository}/${String(sequence).padStart(10, '0')}.json`
}
export const vaultMarkerKey = 'holdfast/v1/vault.json'
