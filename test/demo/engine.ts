// A Docker engine for the demo: the machine's own, or a private one, or none and why.
import { join } from 'node:path'
import Docker from 'dockerode'
import { startDockerd } from '../rig/dockerd.ts'
import { isDebianAsRoot } from '../rig/machine.ts'

export interface DemoEngine {
  readonly docker: Docker
  /** `unix://…`, as DOCKER_HOST takes it. */
  readonly address: string
  /** True when it was started for this demo. */
  readonly private: boolean
  stop(): Promise<void>
}

/** Where the machine's own engine listens unless DOCKER_HOST says otherwise. */
const USUAL_SOCKET = '/var/run/docker.sock'

/** The engine, or the sentence that says why there is none. `folder` is where a private one keeps its volumes. */
export async function findEngine(
  folder: string,
  say: (line: string) => void,
): Promise<DemoEngine | string> {
  const given = process.env.DOCKER_HOST
  const root = process.getuid?.() === 0
  const socket = given === undefined ? USUAL_SOCKET : given.replace(/^unix:\/\//, '')
  if (socket.startsWith('/')) {
    const docker = new Docker({ socketPath: socket })
    const answers = await docker.ping().then(
      () => true,
      () => false,
    )
    if (answers && root)
      return { docker, address: `unix://${socket}`, private: false, stop: async () => {} }
    if (answers)
      return 'only root may write into the volumes of the Docker engine; run the demo as root to see volumes'
  } else if (given !== undefined) {
    return `DOCKER_HOST is ${given}: the demo fills volumes through their mountpoints, which needs a local engine`
  }
  if (!isDebianAsRoot())
    return 'no Docker engine answers; install one (Debian: docker.io) and run the demo as root to see volumes'
  say(
    'No Docker engine answers: starting a private one (installing docker.io first if it is missing).',
  )
  const engine = await startDockerd({ dataRoot: join(folder, 'docker'), say })
  return {
    docker: engine.docker,
    address: `unix://${engine.socketPath}`,
    private: true,
    stop: () => engine.stop(),
  }
}
