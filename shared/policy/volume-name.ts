// The naming convention many fleets use for volumes: `{project}_{environment}_{service}_{data_type}`.

export const nameParts = ['project', 'environment', 'service', 'data_type'] as const
export type NamePart = (typeof nameParts)[number]
export type ParsedName = Readonly<Record<NamePart, string>>

/**
 * The four parts of a volume's name, or undefined if it does not follow the convention. The first three
 * hold no underscore; what is left is the type of the data (`healthcare_prod_uploads_patient_docs` is
 * `patient_docs` of `uploads`).
 */
export function parseVolumeName(name: string): ParsedName | undefined {
  const match = /^([^_]+)_([^_]+)_([^_]+)_(.+)$/.exec(name)
  if (match === null) return undefined
  const [, project, environment, service, rest] = match
  return { project: project!, environment: environment!, service: service!, data_type: rest! }
}
