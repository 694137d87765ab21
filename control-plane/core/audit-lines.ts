// Audit entries as lines of text, for export. Pure.
import type { AuditEvent } from '../../shared/audit/event.ts'
import { canonicalJson } from '../../shared/canonical-json.ts'
import type { AuditEntry } from '../ports/store/audit.ts'

/** One JSON object per line. `entry` holds the canonical bytes unchanged: they are what is hashed. */
export function ndjsonLine({ seq, entry }: AuditEntry): string {
  return `{"entry":${entry},"seq":${seq}}\n`
}

const columns = [
  'seq',
  'at',
  'actor',
  'action',
  'target',
  'outcome',
  'host',
  'job',
  'request',
  'id',
  'details',
] as const

export const csvHeader = `${columns.join(',')}\r\n`

/** RFC 4180, every cell quoted; a cell that a spreadsheet would take for a formula begins with an apostrophe. */
export function csvLine({ seq, entry }: AuditEntry): string {
  const event = JSON.parse(entry) as AuditEvent
  const values: Record<(typeof columns)[number], string> = {
    seq: String(seq),
    at: event.at,
    actor: event.actor,
    action: event.action,
    target: event.target,
    outcome: event.outcome,
    host: event.host ?? '',
    job: event.job ?? '',
    request: event.request ?? '',
    id: event.id,
    details: canonicalJson(event.details),
  }
  return `${columns.map((column) => cell(values[column])).join(',')}\r\n`
}

/** What Excel, LibreOffice and Sheets read as the beginning of a formula (OWASP, "CSV Injection"). */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/

function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text
  return `"${safe.replace(/"/g, '""')}"`
}
