import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/**
 * Tests by where they stand: `unit` beside their file, everything that crosses a room under `test/`.
 * Files named `*.long.test.ts` run only in `npm run test:all`.
 */
export default defineConfig({
  test: {
    include: ['{shared,control-plane,agent,test}/**/*.test.ts'],
    exclude: [
      '**/node_modules/**',
      ...(process.env.HOLDFAST_TEST_ALL ? [] : ['**/*.long.test.ts']),
    ],
    globalSetup: ['./test/rig/global-setup.ts'],
    pool: 'forks',
    // Real engines and gateways run beside the workers: more than four would only wait for each other.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism())),
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
