// Who asks, and what a role may ask for. Which routes a role may enter is the table in `http/access.ts`;
// here are the questions that depend on what is asked.
import type { Role } from '../../shared/access/role.ts'
import type { RestoreTarget } from '../../shared/backup/job.ts'
import { HoldfastError } from '../../shared/errors.ts'

/** Whoever holds a token. */
export interface Identity {
  readonly token: string
  readonly name: string
  readonly role: Role
}

/** As the audit log names them. */
export function actorOf(identity: Identity): string {
  return `token:${identity.token}`
}

/**
 * Throws `forbidden` unless the role may restore so. An operator restores to a new volume of the host the
 * snapshot came from; everything else can destroy or disclose, and needs an admin.
 */
export function authoriseRestore(
  identity: Identity,
  wanted: { target: RestoreTarget; sameHost: boolean },
): void {
  if (identity.role === 'admin') return
  const why = !wanted.sameHost
    ? 'a restore to another host needs the role admin'
    : wanted.target.kind === 'in-place'
      ? 'a restore over an existing volume needs the role admin'
      : wanted.target.kind === 'directory'
        ? 'a restore to a directory needs the role admin'
        : undefined
  if (why === undefined && identity.role === 'operator') return
  throw new HoldfastError('forbidden', why ?? `the role ${identity.role} may not restore`, {
    hint: 'restore to a new volume of the same host, or ask an admin',
  })
}

/**
 * Throws `forbidden` unless the role may look so into a snapshot. Names and sizes are for operators; the bytes
 * of a file that leave the host are a restore to elsewhere.
 */
export function authoriseBrowse(
  identity: Identity,
  wanted: { what: 'list' | 'tree' | 'file' },
): void {
  if (identity.role === 'admin') return
  if (identity.role === 'operator' && wanted.what !== 'file') return
  throw new HoldfastError('forbidden', 'reading the content of a file needs the role admin', {
    hint: 'restore it to a new volume of the same host, or ask an admin',
  })
}
