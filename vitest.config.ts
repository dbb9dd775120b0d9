import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { ofNoEngine, sqliteOnly } from "./test/support/sqlite-only.ts";

const MINUTE = 60_000;

/** A worker's files share their modules: to import them anew took a fifth of a run's processor time. */
const isolate = false;

/** A sweep of ten minutes. */
const LONGEST = /\/node-setup\.sweep\.ts$/;

/** A new checkout knows no durations: begun last, the longest file would run on alone. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => Number(LONGEST.test(moduleId));
    return (await super.sort(files)).toSorted((one, other) => isLong(other) - isLong(one));
  }
}

/** No limit is near what a busy machine needs: they end what hangs, and measure nothing. */
export default defineConfig({
  test: {
    globalSetup: ["test/support/built.ts", "test/support/leftovers.ts"],
    hookTimeout: 10 * MINUTE,
    // The node's program compares its maps with main.cf, which most tests' machines lack.
    env: {
      M25_MAIL_POSTFIX_CONFIG: join(import.meta.dirname, "test/support/postfix"),
      // Resident nodes of several tests cannot share a port.
      M25_MAIL_POLICY_PORT: "0",
    },
    expect: { poll: { timeout: 3 * MINUTE, interval: 20 } },
    restoreMocks: true,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "tests",
          include: ["test/**/*.test.ts"],
          exclude: ["test/db/postgresql/**"],
          testTimeout: 10 * MINUTE,
          isolate,
          // Many tests wait for daemons and time limits rather than for a core.
          maxWorkers: 4,
        },
      },
      {
        extends: true,
        test: {
          name: "postgresql",
          include: [
            "test/{auth,db,doors,sync,tools}/**/*.test.ts",
            "test/{db/hidden-domains,doors/housekeeping}.sweep.ts",
          ],
          exclude: [...sqliteOnly, ...ofNoEngine],
          env: { M25_MAIL_TEST_ENGINE: "postgresql" },
          globalSetup: ["test/support/postgresql-run.ts"],
          testTimeout: 10 * MINUTE,
          isolate,
          maxWorkers: 4,
        },
      },
      {
        extends: true,
        test: {
          name: "sweeps",
          include: ["test/**/*.sweep.ts"],
          testTimeout: 30 * MINUTE,
          isolate,
          maxWorkers: 4,
        },
      },
    ],
  },
});
