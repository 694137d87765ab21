// Who may do what, until the full set of roles comes.
import * as z from 'zod'

/** admin: everything. operator: runs things, restores to a new volume of the same host. auditor: reads. */
export const roles = ['admin', 'operator', 'auditor'] as const
export const role = z.enum(roles)
export type Role = z.infer<typeof role>
