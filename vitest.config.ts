import { defineConfig } from 'vitest/config'

/**
 * Tests by where they stand: `unit` beside their file, everything that crosses a room under `test/`.
 * Files named `*.long.test.ts` run only in `npm run test:all`.
 */
export default defineConfig({
  test: {
    include: ['{shared,control-plane,agent,test}/**/*.test.ts'],
    exclude: ['**/node_modules/**', ...(process.env.HOLDFAST_TEST_ALL ? [] : ['**/*.long.test.ts'])],
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
