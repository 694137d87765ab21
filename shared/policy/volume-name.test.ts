import { describe, expect, it } from 'vitest'
import { parseVolumeName } from './volume-name.ts'

describe('a volume name of the convention', () => {
  it('has four parts, the last of which may hold underscores', () => {
    expect(parseVolumeName('healthcare_prod_mysql_data')).toEqual({
      project: 'healthcare',
      environment: 'prod',
      service: 'mysql',
      data_type: 'data',
    })
    expect(parseVolumeName('healthcare_prod_uploads_patient_docs')?.data_type).toBe('patient_docs')
  })

  it('is told from other names', () => {
    for (const name of ['pgdata', 'a_b_c', 'a_b_c_', '_b_c_d', 'a__c_d']) {
      expect(parseVolumeName(name), name).toBeUndefined()
    }
  })
})
