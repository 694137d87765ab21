// `node infra/wasm/build.ts`: writes the WebAssembly that is checked in. A test says when that was forgotten.
import { writeFileSync } from 'node:fs'
import { findCutModule } from './find-cut.ts'

writeFileSync(new URL('../../agent/repository/find-cut.wasm', import.meta.url), findCutModule())
