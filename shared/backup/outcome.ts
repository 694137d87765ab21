// How a job ended: two closed lists that operators and programs may rely on.
import * as z from 'zod'

export const outcomes = ['succeeded', 'warning', 'failed', 'cancelled', 'missed', 'lost'] as const
export const outcome = z.enum(outcomes)
export type Outcome = z.infer<typeof outcome>

/** Why. Adding a reason is a decision: customers filter on them. */
export const reasons = {
  // succeeded
  completed: 'everything asked for was done',
  // warning
  'files-unreadable': 'some files could not be read and are not in the snapshot',
  'files-changed': 'some files changed while they were read, three times in a row',
  'metadata-refused': 'the target refused some owners or attributes',
  'repository-read-only':
    'the repository has the first format of restic, which is read and not written',
  'needs-approval': 'so much would be removed that a person must approve it first',
  // failed
  'source-missing': 'the volume or directory does not exist on the host',
  'source-empty-mount': 'the volume needs to be mounted and could not be',
  'source-in-use': 'a running container uses the volume',
  'rootless-unsupported': 'a rootless engine hides the files of its volumes',
  'permission-denied': 'the agent lacks a capability it needs',
  'no-recovery-recipient': 'the host has no recovery recipient, so it does not back up',
  'repository-locked': 'another program holds the repository',
  'repository-damaged': 'an object of the repository is missing or altered',
  'wrong-password': 'no key file opens with the password',
  'store-unavailable': 'the object store did not answer properly in time',
  'store-refused': 'the object store refused a request that should be allowed',
  'object-conflict': 'an object of that name exists with another size',
  'clock-skew': 'the clocks of control plane and store are too far apart',
  'plane-unavailable': 'the control plane could not be reached in time',
  'grant-refused': 'the control plane refused a grant',
  'commit-refused': 'the control plane refused the snapshot',
  'memory-limit': 'the job cannot keep within the memory it may use',
  'disk-full': 'a disk of the host is full',
  'retirement-refused': 'the control plane refused what a prune wants to give up',
  'target-invalid': 'the restore target cannot be used',
  'snapshot-missing': 'there is no such snapshot',
  'internal-error': 'a fault of the program; its log has the details',
  // cancelled
  'cancelled-by-person': 'a person stopped it',
  // missed
  'host-offline': 'the host was not connected when it was due',
  'plane-was-down': 'the control plane did not run when it was due',
  'previous-still-running': 'the run before was still going on',
  // lost
  'mover-died': 'the mover ended without a word',
  'agent-restarted': 'the agent restarted during the job',
  'lease-lapsed': 'the host fell silent during the job',
} as const
export const reason = z.enum(Object.keys(reasons) as [Reason, ...Reason[]])
export type Reason = keyof typeof reasons
