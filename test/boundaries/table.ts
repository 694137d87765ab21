// Who may import what: one line for each room.

export interface Room {
  /** Rooms whose files may be imported. A room's name means the rooms below it too. */
  readonly rooms: readonly string[]
  /** Rooms of which only types may be imported. */
  readonly types: readonly string[]
  /** Packages of node_modules. */
  readonly packages: readonly string[]
  /** May it use Node's own modules? */
  readonly node: boolean
  /** What an offender gets to read after "because". */
  readonly because: string
}

/**
 * room | rooms it may import, those in parentheses for their types only | packages; `node` = Node's own modules | why
 *
 * The longest name that fits a file's path is its room; a room may always import itself.
 */
const lines = `
shared                         |                                                      | zod                                        | the words run wherever JavaScript runs and depend on nobody
shared/policy                  | shared                                               | zod croner                                 | the words run wherever JavaScript runs and depend on nobody

control-plane/ports            | shared                                               |                                            | a contract knows the words and nobody who keeps it
control-plane/core             | shared control-plane/ports                           | zod                                        | a decision must not depend on who asks or where things are kept
control-plane/http             | shared control-plane/ports control-plane/core        | hono @hono/zod-openapi zod                 | the door hands requests to the core and knows no adapter
control-plane/session          | shared control-plane/ports control-plane/core        | hono @hono/zod-openapi zod                 | the door hands frames to the core and knows no adapter
control-plane/adapters/libsql  | shared control-plane/ports                           | node drizzle-orm @libsql/client zod        | an adapter keeps a contract; it knows neither the core nor another adapter
control-plane/adapters/s3      | shared control-plane/ports                           | node aws4fetch @aws-sdk/client-s3          | an adapter keeps a contract; it knows neither the core nor another adapter
control-plane/adapters/notify  | shared control-plane/ports                           | node nodemailer ipaddr.js                  | an adapter keeps a contract; it knows neither the core nor another adapter
control-plane/node             | shared control-plane/ports control-plane/core control-plane/http control-plane/session control-plane/adapters | node hono @hono/node-server ws pino @libsql/client zod | a runtime puts the portable rooms together and knows no other runtime
control-plane/cli              | shared (control-plane/http)                          | node hono commander cli-table3 cli-progress yaml zod age-encryption | the command talks to a control plane over HTTP like any other program and has no back door

agent/log                      |                                                      | node pino                                  | a log line is written by whoever was handed the log
agent/state                    | shared                                               | node                                       | files that survive a crash do not care what is in them
agent/native                   |                                                      | node koffi                                 | system calls have no opinion about backups
agent/storage                  | shared agent/storage/object-store.ts agent/storage/memory.ts | node https-proxy-agent                     | a store keeps bytes under names and does not know what they mean
agent/storage/memory.ts        | agent/storage/object-store.ts                        | node                                       | a repository in memory is as much part of the port as the port itself
agent/storage/object-store.ts  |                                                      |                                            | the port is all the repository sees of storage, and drags nothing along
agent/repository               | agent/storage/object-store.ts agent/storage/memory.ts | node koffi                                 | the repository could be published alone: no Docker, no protocol, no words of ours
agent/docker                   | shared agent/log                                     | node dockerode                             | the engine is asked in one place, which knows nothing of jobs
agent/ipc                      | shared                                               | node zod                                   | the hatch between supervisor and mover belongs to neither
agent/control                  | shared agent/log agent/state agent/storage           | node ws zod                                | the conversation with the control plane does not do what it talks about
agent/sources                  | shared agent/docker agent/native (agent/repository)  | node                                       | a source yields entries and does not know where they go
agent/mover                    | shared agent/log agent/ipc agent/docker agent/sources agent/repository agent/storage agent/native | node zod age-encryption pino               | the child has no socket and no token: never agent/control
agent/jobs                     | shared agent/log agent/state agent/ipc agent/docker  | node zod age-encryption                    | the supervisor starts the mover as a file and does not import it
agent/config                   | shared agent/storage agent/state                     | node zod yaml                              | what a host may do is read once, before anything is put together
agent/main                     | shared agent/log agent/state agent/storage agent/control agent/jobs agent/docker agent/config | node                   | the supervisor is put together here, and the mover is a process of its own
agent/main.ts                  | shared agent/log agent/state agent/config agent/main | node commander                             | the command line picks a verb and does nothing itself

infra/wasm                     |                                                      | node                                       | it writes a file that is checked in, and nothing runs it

test                           | *                                                    | node *                                     | a proof may look everywhere
`

const words = (cell: string | undefined) => (cell ?? '').split(/\s+/).filter((word) => word !== '')

export const table: Readonly<Record<string, Room>> = Object.fromEntries(
  lines
    .split('\n')
    .filter((line) => line.includes('|'))
    .map((line) => {
      const [name, rooms, packages, because] = line.split('|').map((cell) => cell.trim())
      const room: Room = {
        rooms: words(rooms).filter((word) => !word.startsWith('(')),
        types: words(rooms).flatMap((word) => /^\((.*)\)$/.exec(word)?.[1] ?? []),
        packages: words(packages).filter((word) => word !== 'node'),
        node: words(packages).includes('node'),
        because: because ?? '',
      }
      return [name, room]
    }),
)

/** What a unit test may import beside what its room may. */
export const testsToo = {
  rooms: ['test/rig', 'test/support', 'agent/storage'],
  packages: ['vitest', 'fast-check'],
} as const

/** Rooms whose every run can be replayed: time and chance are handed in. */
export const replayable = [
  'shared',
  'control-plane/ports',
  'control-plane/core',
  'agent/repository',
]

/** Files of those rooms that are what is handed in, with the reason. */
export const clockworks: Readonly<Record<string, string>> = {
  'agent/repository/id.ts': "the system's randomness, as the mover hands it in",
  'agent/repository/turn.ts':
    'a turn of the event loop, so that long work lets messages and uploads through',
}
