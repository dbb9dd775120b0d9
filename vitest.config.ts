import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Many tests wait for daemons and time limits rather than for a core.
    maxWorkers: 3,
  },
});
