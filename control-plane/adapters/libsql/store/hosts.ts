// Hosts in libSQL, as their agents see them.
import { and, eq, isNull, type SQL, sql } from 'drizzle-orm'
import type { Host, HostsStore } from '../../../ports/store/hosts.ts'
import type { Database } from '../client.ts'
import { hosts, repositories } from '../schema.ts'

export function createHostsStore(database: Database): HostsStore {
  async function one(condition: SQL): Promise<Host | undefined> {
    const [row] = await database.orm
      .select({
        id: hosts.id,
        name: hosts.name,
        machine: hosts.machine,
        publicKey: hosts.publicKey,
        recoveryRecipient: hosts.recoveryRecipient,
        recipient: hosts.recipient,
        repository: repositories.id,
        version: hosts.version,
        protocol: hosts.protocol,
        boot: hosts.boot,
        lastSeen: hosts.lastSeen,
        silentSince: hosts.silentSince,
      })
      .from(hosts)
      .innerJoin(repositories, eq(repositories.host, hosts.id))
      .where(and(condition, isNull(hosts.removedAt)))
    return row
  }
  return {
    find: (id) => one(eq(hosts.id, id)),
    findByName: (name) => one(sql`lower(${hosts.name}) = lower(${name})`),
    async nameOf(id) {
      const [row] = await database.orm
        .select({ name: hosts.name })
        .from(hosts)
        .where(eq(hosts.id, id))
      // A removed host's name is made free by what follows a tilde, which no name holds.
      return row?.name.split('~')[0]
    },
    findByKey: (publicKey) => one(eq(hosts.publicKey, publicKey)),
  }
}
