// What a host has: what the agent found through Docker, without a single file name.
import * as z from 'zod'

const labels = z.record(z.string().max(1_024), z.string().max(65_536))
const name = z.string().max(255)

export const inventoryVolume = z.strictObject({
  name,
  driver: name,
  /** Names of the driver options that are set; their values may be secret and stay on the host. */
  optionNames: z.array(name).max(64),
  labels,
  /** A 64-hex name and nobody's label: made without a name. */
  anonymous: z.boolean(),
  createdAt: z.iso.datetime({ offset: true }).optional(),
  mountpoint: z.string().max(4_096),
  project: name.optional(),
  service: name.optional(),
  /** Set when it cannot be backed up, e.g. tmpfs. */
  unsupported: z.string().max(500).optional(),
  /** Names of containers that mount it. */
  usedBy: z.array(name).max(1_000),
})

export const inventoryMount = z.strictObject({
  /** Host path of a bind mount. */
  path: z.string().max(4_096),
  usedBy: z.array(name).max(1_000),
})

export const inventoryContainer = z.strictObject({
  id: z.string().max(64),
  name,
  image: z.string().max(1_024),
  state: z.string().max(32),
  labels,
  project: name.optional(),
  service: name.optional(),
})

export const inventory = z.strictObject({
  at: z.iso.datetime(),
  engine: z
    .strictObject({
      version: z.string().max(64),
      name,
      dockerRoot: z.string().max(4_096),
      rootless: z.boolean(),
      userns: z.boolean(),
      selinux: z.boolean(),
    })
    .optional(),
  volumes: z.array(inventoryVolume).max(20_000),
  mounts: z.array(inventoryMount).max(20_000),
  containers: z.array(inventoryContainer).max(20_000),
  /** Directories the host's own configuration offers as sources. */
  directories: z.array(z.string().max(4_096)).max(1_000),
})
export type Inventory = z.infer<typeof inventory>
export type InventoryVolume = z.infer<typeof inventoryVolume>
