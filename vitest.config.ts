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
    // Tests wait for real clocks more than they compute, so one more than there are cores; real engines and
    // gateways run beside the workers, and beyond four they would only wait for each other.
    maxWorkers: Math.min(4, availableParallelism() + 1),
    // Processes are killed at random moments on a machine others load too. A second failure is a failure; the
    // runner says which tests needed a second try.
    retry: process.env.CI ? 1 : 0,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
