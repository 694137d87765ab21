// An alert in one line for people, safe to show where Slack's markup is read.
import type { Alert } from './alert.ts'

/**
 * `[critical] job-failed on web-1: …`. Slack reads `&`, `<` and `>` as markup (`<!channel>` would call
 * everybody), so they are written as it asks; line ends become spaces.
 */
export function alertText(alert: Alert): string {
  const escaped = plainAlertText(alert)
  return escaped.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}

/** The same for plain text. */
export function plainAlertText(alert: Alert): string {
  const line = `[${alert.level}] ${alert.alert_type} on ${alert.hostname}: ${alert.message}`
  return line.replace(/[\u0000-\u001f\u007f]+/g, ' ')
}
