// Where faults that nobody waits for are said. Fields hold no names and no secrets.

export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** Runs work that no request waits for. What it leaves undone, a timer finds again in the database. */
export type Defer = (what: string, task: () => Promise<void>) => void
