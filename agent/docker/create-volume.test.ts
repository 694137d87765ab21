import { expect, it } from 'vitest'
import { labelsForRestore } from './create-volume.ts'

const labels = { 'com.docker.compose.project': 'shop', retention: '30days' }

it('keeps every label when a volume is restored under its own name', () => {
  expect(labelsForRestore(labels, 'shop_data', 'shop_data')).toEqual(labels)
})

it('leaves out the labels of Compose on a copy, and says where it came from', () => {
  expect(labelsForRestore(labels, 'shop_data', 'copy')).toEqual({
    retention: '30days',
    'holdfast.restored-from': 'shop_data',
  })
})
