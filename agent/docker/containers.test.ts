import { describe, expect, it } from 'vitest'
import { stopOrder, usersOfVolume } from './containers.ts'
import type { EngineContainer } from './engine.ts'

function container(name: string, dependsOn: string[] = [], state = 'running'): EngineContainer {
  return {
    id: `id-${name}`,
    name,
    image: 'image',
    state,
    labels: {
      'com.docker.compose.project': 'shop',
      'com.docker.compose.service': name,
      'com.docker.compose.depends_on': dependsOn
        .map((other) => `${other}:service_started:false`)
        .join(','),
    },
    mounts: [{ type: 'volume', name: 'data', source: '' }],
  }
}
const names = (containers: EngineContainer[]) => containers.map((c) => c.name)

describe('stopOrder', () => {
  it('stops what depends on others before what it depends on', () => {
    const order = names(
      stopOrder([
        container('db'),
        container('web', ['api']),
        container('api', ['db', 'cache']),
        container('cache'),
      ]),
    )
    expect(order.indexOf('web')).toBeLessThan(order.indexOf('api'))
    expect(order.indexOf('api')).toBeLessThan(order.indexOf('db'))
    expect(order.indexOf('api')).toBeLessThan(order.indexOf('cache'))
  })

  it('takes no notice of another project with the same service names', () => {
    const other = container('db')
    const stranger = {
      ...other,
      id: 'x',
      name: 'x',
      labels: { ...other.labels, 'com.docker.compose.project': 'blog' },
    }
    expect(names(stopOrder([stranger, container('web', ['db'])]))).toEqual(['web', 'x'])
  })

  it('ends on a circle of dependencies', () => {
    expect(stopOrder([container('a', ['b']), container('b', ['a'])])).toHaveLength(2)
  })
})

describe('usersOfVolume', () => {
  it('counts those that are up, paused ones too', () => {
    const all = [
      container('a'),
      container('b', [], 'exited'),
      container('c', [], 'paused'),
      container('d', [], 'created'),
    ]
    expect(names(usersOfVolume(all, 'data'))).toEqual(['a', 'c'])
    expect(usersOfVolume(all, 'other')).toEqual([])
  })
})
