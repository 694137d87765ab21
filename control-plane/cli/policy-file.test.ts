import { describe, expect, it } from 'vitest'
import { parsePolicyFile } from './policy-file.ts'

const good = `apiVersion: holdfast/v1
kind: Policy
name: nightly
select:
  volumes: ["*"]
schedule:
  cron: "0 2 * * *"
  timezone: Europe/Berlin
`

function problem(text: string): string {
  try {
    parsePolicyFile('p.yaml', text)
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('was accepted')
}

describe('a policy file', () => {
  it('gives each document with defaults filled in', () => {
    const [first, second] = parsePolicyFile(
      'p.yaml',
      `${good}---\n${good.replace('nightly', 'weekly')}`,
    )
    expect(first?.document.select.hosts).toEqual(['*'])
    expect(second?.document.name).toBe('weekly')
    expect(second?.line).toBe(10)
  })

  it('names file, line and field of an unknown field', () => {
    expect(problem(good.replace('volumes:', 'volume:'))).toContain(
      'p.yaml:5: select.volume: unknown field; known here: hosts, volumes, labels',
    )
  })

  it('names the value and the rule of an impossible cron', () => {
    expect(problem(good.replace('0 2 * * *', '0 0 31 2 *'))).toBe(
      'p.yaml:7: schedule.cron: cron "0 0 31 2 *" never fires',
    )
    expect(problem(good.replace('0 2 * * *', '0 2 *'))).toBe(
      'p.yaml:7: schedule.cron: cron "0 2 *" has 3 fields; five are needed, or six with seconds first',
    )
    expect(problem(good.replace('0 2 * * *', '99 2 * * *'))).toMatch(
      /^p\.yaml:7: schedule\.cron: cron "99 2 \* \* \*" is not usable: /,
    )
  })

  it('names an unknown time zone and says what is expected', () => {
    expect(problem(good.replace('Europe/Berlin', 'Europe/Berln'))).toBe(
      'p.yaml:8: schedule.timezone: unknown time zone "Europe/Berln"; use an IANA name such as "Europe/Berlin" or "UTC"',
    )
  })

  it('says where the YAML itself is broken', () => {
    expect(problem('apiVersion: [holdfast/v1\nkind: Policy\n')).toMatch(/^p\.yaml:\d+: not YAML: /)
  })

  it('refuses a selection that selects nothing, and an empty file', () => {
    expect(problem(good.replace('  volumes: ["*"]', '  hosts: ["*"]'))).toContain(
      'p.yaml:4: select: selects nothing',
    )
    expect(problem('# nothing\n')).toBe('p.yaml:1: document: the file holds no policy')
  })

  it('survives an alias bomb', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n`
    expect(() => parsePolicyFile('p.yaml', bomb)).toThrow()
  })
})
