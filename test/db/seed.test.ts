import { join } from "node:path";
import { expect, test } from "vitest";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { temporaryFolder } from "../support/store.ts";

test("a database for benchmarks has the figures of its rows, and its aliases follow their mailboxes", async () => {
  const file = join(temporaryFolder(), "m25-mail.db");
  const at = "2026-03-01T12:00:00.000Z";
  await seedDatabase(file, { users: 40, aliases: 7, domains: 3, passwordHash: "x", at });
  const database = rawDatabase(file);
  expect(kept(database)).toEqual(recount(database));
  const live = database.prepare("SELECT live FROM aliases WHERE id = 1").pluck();
  expect(live.get()).toBe('["user01@domain1.example"]');
  const store = openStore(file, { create: false });
  await store.write(async ({ users }) => {
    const [first] = await users.page(1, undefined, undefined);
    if (first === undefined) throw new Error("no mailbox");
    await users.update(first, { active: false }, at);
  });
  await store.close();
  expect(live.get()).toBe("[]");
  expect(kept(database)).toEqual(recount(database));
});
