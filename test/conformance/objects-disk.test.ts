import { startDiskVault } from '../support/disk-vault.ts'
import { describeObjects } from './objects.ts'

describeObjects('the disk vault over HTTP', startDiskVault)
