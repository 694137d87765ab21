// What the command prints: tables for people, one JSON object per line for programs.
import Table from 'cli-table3'

/** No lines, two spaces between columns: survives a pipe into less, grep and awk. */
const BARE = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
}

export interface Output {
  readonly json: boolean
  /** Rows as a table, or each item as one JSON line. */
  list<T>(items: readonly T[], columns: ReadonlyArray<readonly [string, (item: T) => string]>): void
  /** One thing: its text for people, itself for programs. */
  one(value: object, text: string): void
  /** A remark for people only, on stderr. */
  note(text: string): void
}

export function createOutput(options: {
  json: boolean
  out: (line: string) => void
  err: (line: string) => void
}): Output {
  return {
    json: options.json,
    list(items, columns) {
      if (options.json) {
        for (const item of items) options.out(JSON.stringify(item))
        return
      }
      const table = new Table({
        head: columns.map(([title]) => title),
        chars: BARE,
        style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
      })
      for (const item of items) table.push(columns.map(([, text]) => printable(text(item))))
      for (const line of table.toString().split('\n')) options.out(line.trimEnd())
    },
    one(value, text) {
      options.out(options.json ? JSON.stringify(value) : text)
    },
    note(text) {
      if (!options.json) options.err(text)
    },
  }
}

/** Text from hosts and files, made safe for a terminal: control characters become `\xNN`. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

/** Bytes for people: `1.5 GiB`. */
export function formatBytes(bytes: number | undefined | null): string {
  if (bytes === undefined || bytes === null) return ''
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** A length of time for people: `2 m 05 s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  if (seconds < 1) return `${Math.round(ms)} ms`
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} m ${String(seconds % 60).padStart(2, '0')} s`
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} m`
}

/** An instant for people, in the zone of `TZ`; empty when there is none. */
export function formatTime(at: string | number | null | undefined): string {
  if (at === null || at === undefined) return ''
  const date = new Date(at)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}
