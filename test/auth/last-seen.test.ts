import { renameSync } from "node:fs";
import { expect, test } from "vitest";
import { LastSeen } from "../../src/auth/last-seen.ts";
import { logTo } from "../../src/log/log.ts";
import { onPostgresql } from "../support/engine.ts";
import { testStore } from "../support/store.ts";

// The file is moved away, which PostgreSQL does not have.
test.skipIf(onPostgresql)(
  "the log says once that contact times cannot be written, and once that they can be again",
  async () => {
    const { store, file } = testStore();
    const logged: unknown[] = [];
    const lastSeen = new LastSeen(
      store,
      logTo((level, message, fields) => logged.push([level, message, fields])),
    );
    const seen = () => {
      lastSeen.token(1, new Date());
      return lastSeen.flush();
    };
    renameSync(file, `${file}.away`);
    for (let second = 0; second < 3; second += 1) await seen();
    expect(logged).toEqual([
      ["warn", expect.stringMatching(/^contact times cannot be written: The database .*\.$/), {}],
    ]);
    renameSync(`${file}.away`, file);
    for (let second = 0; second < 3; second += 1) await seen();
    expect(logged.slice(1)).toEqual([["info", "contact times are written again", {}]]);
    await lastSeen.close();
  },
);
