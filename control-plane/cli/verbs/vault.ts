import type { Command } from 'commander'
import { HoldfastError } from '../../../shared/errors.ts'
import {
  type NewVault,
  spacesEndpoint,
  spacesRegions,
  type VaultPlace,
} from '../../../shared/vault/vault.ts'
import { answerOf } from '../api.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../output.ts'
import { secretInput } from '../secret-input.ts'

interface AddOptions {
  disk?: boolean
  spaces?: string
  endpoint?: string
  region?: string
  bucket?: string
  prefix: string
  virtualHost?: boolean
}

export function addVault(program: Command, context: () => Context): void {
  const vault = program.command('vault').description('Where backups lie')
  vault
    .command('add <name>')
    .description(
      'Add a bucket; its keys come from HOLDFAST_VAULT_ACCESS_KEY_ID and HOLDFAST_VAULT_SECRET_ACCESS_KEY (or …_FILE) or a prompt',
    )
    .option('--spaces <region>', `DigitalOcean Spaces: ${spacesRegions.join(', ')}`)
    .option('--endpoint <url>', 'any other S3 server')
    .option('--region <region>', 'its region', 'us-east-1')
    .option('--bucket <bucket>')
    .option('--prefix <prefix>', 'below this prefix; ends in a slash', '')
    .option('--virtual-host', 'https://bucket.endpoint/key instead of https://endpoint/bucket/key')
    .option('--disk', "a directory of the control plane's own disk")
    .action(async (name: string, options: AddOptions) => {
      const ctx = context()
      const place = placeOf(options)
      const json: NewVault =
        place.kind === 'disk'
          ? { name, place }
          : { name, place, credentials: await credentials(ctx) }
      const added = await answerOf((await ctx.api()).vaults.$post({ json }))
      ctx.output.one(
        added,
        `vault ${added.name} is added${added.isDefault ? '; it is the default' : ''}`,
      )
      showFindings(ctx, added)
    })
  vault
    .command('list')
    .description('List vaults')
    .action(async () => {
      const { output, api } = context()
      const { items } = await answerOf((await api()).vaults.$get())
      output.list(items, [
        ['NAME', (one) => one.name],
        ['PLACE', (one) => placeText(one.place)],
        ['DEFAULT', (one) => (one.isDefault ? 'yes' : '')],
        ['PROBED', (one) => formatTime(one.probedAt) || 'never'],
        ['WORST FINDING', (one) => worst(one.findings ?? [])],
      ])
    })
  vault
    .command('probe <name>')
    .description(
      'Try on the bucket what the holder of a signed URL could try, and record what it did',
    )
    .action(async (name: string) => {
      const ctx = context()
      const probed = await answerOf(
        (await ctx.api()).vaults[':vault'].probe.$post({ param: { vault: name } }),
      )
      if (ctx.output.json) ctx.output.one(probed, '')
      else showFindings(ctx, probed)
      if (worst(probed.findings ?? []) === 'danger') ctx.exitCode = 1
    })
  vault
    .command('default <name>')
    .description('Let new hosts use this vault unless told otherwise')
    .action(async (name: string) => {
      const { output, api } = context()
      const one = await answerOf(
        (await api()).vaults[':vault'].default.$post({ param: { vault: name } }),
      )
      output.one(one, `new hosts use ${one.name}`)
    })
  vault
    .command('floor <name> <days>')
    .description('Forget and delete nothing younger than this, whatever a policy says')
    .action(async (name: string, text: string) => {
      const { output, api } = context()
      if (!/^\d{1,4}$/.test(text)) throw new HoldfastError('invalid', `"${text}" is not a number`)
      const call = (await api()).vaults[':vault']['retention-floor'].$put({
        param: { vault: name },
        json: { days: Number(text) },
      })
      const one = await answerOf(call)
      output.one(one, `vault ${one.name} keeps everything for ${one.retentionFloorDays} days`)
    })
}

interface Finding {
  readonly check: string
  readonly level: 'ok' | 'note' | 'warning' | 'danger'
  readonly saw: string
  readonly remedy?: string | undefined
}

function showFindings({ output }: Context, probed: { findings: readonly Finding[] | null }): void {
  if (output.json || probed.findings === null) return
  output.list(probed.findings, [
    ['CHECK', (one) => one.check],
    ['LEVEL', (one) => one.level],
    ['SAW', (one) => one.saw],
  ])
  for (const one of probed.findings) {
    if (one.remedy !== undefined) output.note(`${one.check}: ${one.remedy}`)
  }
}

const order = ['ok', 'note', 'warning', 'danger'] as const

function worst(findings: readonly Finding[]): string {
  return order[Math.max(-1, ...findings.map((one) => order.indexOf(one.level)))] ?? ''
}

/** A vault on the machine that holds the control plane protects nothing against the loss of that machine. */
function placeText(place: VaultPlace): string {
  return place.kind === 'disk'
    ? "the control plane's own disk (same machine)"
    : `${place.endpoint}/${place.bucket}/${place.prefix}`
}

function placeOf(options: AddOptions): VaultPlace {
  if (options.disk) return { kind: 'disk' }
  if (options.bucket === undefined) throw new HoldfastError('invalid', '--bucket is missing')
  if ((options.spaces === undefined) === (options.endpoint === undefined)) {
    throw new HoldfastError('invalid', 'give one of --spaces and --endpoint')
  }
  const rest = { bucket: options.bucket, prefix: options.prefix, pathStyle: !options.virtualHost }
  if (options.endpoint !== undefined) {
    return {
      kind: 's3',
      endpoint: options.endpoint,
      region: options.region ?? 'us-east-1',
      ...rest,
    }
  }
  const region = spacesRegions.find((one) => one === options.spaces)
  if (region === undefined) {
    throw new HoldfastError(
      'invalid',
      `--spaces: "${options.spaces}" is not one of ${spacesRegions.join(', ')}`,
    )
  }
  return { kind: 's3', endpoint: spacesEndpoint(region), region, ...rest }
}

async function credentials(context: Context) {
  return {
    accessKeyId: await secretInput(context, 'HOLDFAST_VAULT_ACCESS_KEY_ID', 'Access key id: '),
    secretAccessKey: await secretInput(
      context,
      'HOLDFAST_VAULT_SECRET_ACCESS_KEY',
      'Secret access key: ',
    ),
  }
}
