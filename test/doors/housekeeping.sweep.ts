import { join } from "node:path";
import { expect, test } from "vitest";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { m25mail, serveProcess } from "../support/program.ts";
import { keepRecount, kept, rawDatabase, recount } from "../support/recount.ts";
import { fakeHash, PASSWORD, temporaryFolder } from "../support/store.ts";

const MANY = 20_000;

/** A database whose mailboxes were all soft-deleted long ago, except the first of each domain. */
async function withManyInactive() {
  const file = join(temporaryFolder(), "m25-mail.db");
  const at = new Date(Date.now() - 60 * 86_400_000).toISOString();
  await seedDatabase(file, { users: MANY + 2, domains: 2, passwordHash: fakeHash(PASSWORD), at });
  const database = rawDatabase(file);
  database.exec("UPDATE users SET active = 0 WHERE local_part <> 'user00001'");
  keepRecount(database);
  // The clock is trusted only after a recent sign of life.
  database
    .prepare(
      "INSERT INTO audit_log (at, principal, door, tool, arguments, revision) VALUES (?, 'a', 'cli', 'b', '{}', 0)",
    )
    .run(new Date().toISOString());
  const purges = database.prepare<[], { entries: number; mailboxes: number }>(
    "SELECT count(*) AS entries, count(DISTINCT arguments) AS mailboxes FROM audit_log WHERE tool = 'purge-user'",
  );
  return { file, database, inactive: () => kept(database).inactiveUsers, purged: () => purges.get() };
}

const settings = ["--purge-inactive-after", "30"];

test.each([
  ["SIGTERM", 0],
  ["SIGKILL", null],
] as const)(
  "a server answers while it purges, and after a %s in the middle the next one purges the rest",
  async (signal, code) => {
    const { file, database, inactive, purged } = await withManyInactive();
    const token = (await m25mail(["token", "create", "t", "--db", file])).stdout.trim();
    const first = await serveProcess(file, settings);
    const ask = () =>
      fetch(`${first.url}/api/list-domains`, { headers: { authorization: `Bearer ${token}` } });
    await expect.poll(inactive).toBeLessThan(MANY);
    expect((await ask()).status).toBe(200);
    first.child.kill(signal);
    expect((await first.finished).code).toBe(code);
    expect(inactive()).toBeGreaterThan(0);
    expect(kept(database)).toEqual(recount(database));
    expect(purged()).toEqual({ entries: MANY - inactive(), mailboxes: MANY - inactive() });

    await serveProcess(file, settings);
    await expect.poll(inactive).toBe(0);
    expect(kept(database)).toEqual(recount(database));
    expect(purged()).toEqual({ entries: MANY, mailboxes: MANY });
  },
);

test("two servers on one database purge each mailbox once", async () => {
  const { file, database, inactive, purged } = await withManyInactive();
  // Else both would make a first token at the same moment, and one would refuse to start.
  await m25mail(["token", "create", "t", "--db", file]);
  await Promise.all([serveProcess(file, settings), serveProcess(file, settings)]);
  await expect.poll(inactive).toBe(0);
  expect(purged()).toEqual({ entries: MANY, mailboxes: MANY });
  expect(kept(database)).toEqual(recount(database));
});
