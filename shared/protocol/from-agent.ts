// Frames an agent sends on its socket. Everything that must not be lost is an HTTPS call instead
// (see calls.ts): the socket carries the greeting and keeps the path open.
import * as z from 'zod'
import { hello, prove } from './hello.ts'

/** Please send a new session token: the old one is half through its life. */
export const renew = z.strictObject({ type: z.literal('renew') })

export const fromAgent = z.discriminatedUnion('type', [hello, prove, renew])
export type FromAgent = z.infer<typeof fromAgent>
