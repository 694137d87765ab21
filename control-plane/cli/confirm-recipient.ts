// Before a password is sealed to a host: is the recipient that the control plane shows really the host's?
import { HoldfastError } from '../../shared/errors.ts'
import type { Context } from './context.ts'

/**
 * Whoever controls the control plane could show a recipient of its own: so a person compares it with what the host
 * itself shows, or has given it. Rejects with `forbidden`, `invalid`, or `cancelled` with the words of `otherwise`.
 */
export async function confirmRecipient(
  context: Context,
  { name, recipient: shown }: { readonly name: string; readonly recipient: string },
  given: string | undefined,
  otherwise: string,
): Promise<void> {
  if (given !== undefined) {
    if (given === shown) return
    throw new HoldfastError(
      'forbidden',
      `--recipient is not the recipient the control plane has for ${name}`,
      {
        hint: `it has ${shown}; run \`holdfast-agent status\` on ${name}. If they differ, the control plane may be lying: do not go on`,
      },
    )
  }
  if (!context.interactive) {
    throw new HoldfastError(
      'invalid',
      '--recipient is needed: without a terminal nobody can compare it',
      {
        hint: `run \`holdfast-agent status\` on ${name} and give its recipient`,
      },
    )
  }
  context.output.note(
    `The password of the repository will be sealed to ${name}:\n\n  ${shown}\n\nCompare it with what \`holdfast-agent status\` shows there.`,
  )
  const answer = await context.ask('The same? Type yes: ')
  if (answer !== 'yes') throw new HoldfastError('cancelled', otherwise)
}
