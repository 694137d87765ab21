// Alarms in libSQL.
import type { AlarmsStore } from '../../../ports/store/alarms.ts'
import { recordTrace } from '../change.ts'
import type { Database } from '../client.ts'

export function createAlarmsStore(database: Database): AlarmsStore {
  return { raise: (trace) => recordTrace(database, trace) }
}
