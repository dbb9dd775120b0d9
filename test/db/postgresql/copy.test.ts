import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { copiedTables } from "../../../db/copied-tables.ts";
import { copyDatabase } from "../../../db/copy.ts";
import { openDatabase } from "../../../db/open.ts";
import { openStore } from "../../../db/sqlite/store.ts";
import { wholeView } from "../../../src/sync/view.ts";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { m25mail } from "../../support/program.ts";
import { rawDatabase, textOf } from "../../support/recount.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../../support/store.ts";

/** A file with a row in most tables. */
async function filledFile(folder: string): Promise<string> {
  const file = join(folder, "m25-mail.db");
  const store = openStore(file, { create: true });
  const { must } = testRuntime(store);
  await must("add-domain", { domain: "example.nl" });
  for (const name of ["jan", "piet"])
    await must("add-user", { email: `${name}@example.nl`, password: PASSWORD });
  await must("set-alias", { address: "info@example.nl", targets: ["jan@example.nl", "x@elsewhere.example"] });
  await must("remove-user", { email: "piet@example.nl" });
  await must("add-node", { name: "pi" });
  await must("create-token", { name: "all" });
  await store.close();
  return file;
}

test("every table of a database is copied", () => {
  const file = join(temporaryFolder(), "m25-mail.db");
  const store = openStore(file, { create: true });
  onTestFinished(() => store.close());
  const tables = rawDatabase(file)
    .prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .pluck()
    .all();
  expect(tables.toSorted()).toEqual(copiedTables.toSorted());
});

describe.skipIf(POSTGRESQL === undefined)("migrate", () => {
  test("copies a file to PostgreSQL and back, row by row, and refuses a target that has data", async () => {
    const folder = temporaryFolder();
    const file = await filledFile(folder);
    const address = await testCluster().database("copy");
    const migrate = (from: string, to: string) => m25mail(["migrate", "--db", from, to]);
    const copied = await migrate(file, address);
    expect(copied).toMatchObject({ code: 0, stdout: expect.stringMatching(/ has all of .* rows\./) });
    const copy = await openDatabase(address, { create: false });
    const original = openStore(file, { create: false });
    onTestFinished(() => original.close());
    expect((await copy.polls.look()).version).toBe((await original.polls.look()).version);
    expect(await textOf(await copy.readState(wholeView))).toBe(
      await textOf(await original.readState(wholeView)),
    );
    await testRuntime(copy).must("add-domain", { domain: "later.nl" });
    await copy.close();
    const full = await migrate(join(folder, "m25-mail.db"), address);
    expect(full.code).toBe(1);
    const back = join(folder, "back.db");
    expect(await migrate(address, back)).toMatchObject({ code: 0 });
    const rows = (name: string, table: string) => rawDatabase(name).prepare(`SELECT * FROM ${table}`).all();
    const unchanged = copiedTables.filter(
      (table) => !["state", "domains", "revisions", "audit_log"].includes(table),
    );
    for (const table of unchanged) expect(rows(back, table), table).toEqual(rows(file, table));
    expect(rows(back, "audit_log").length).toBe(rows(file, "audit_log").length + 1);
  });

  test("a dump of PostgreSQL's own is restored with everything, and goes on", async () => {
    const cluster = testCluster();
    const address = await cluster.database("dumped");
    const folder = temporaryFolder();
    expect(await m25mail(["migrate", "--db", await filledFile(folder), address])).toMatchObject({ code: 0 });
    const original = await openDatabase(address, { create: false });
    onTestFinished(() => original.close());
    const dump = join(folder, "dump");
    const restored = await cluster.database("restored");
    const as = ["-h", cluster.folder, "-U", "postgres"];
    execFileSync("pg_dump", [...as, "--format=custom", `--file=${dump}`, "dumped"]);
    execFileSync("pg_restore", [...as, "--no-owner", "--dbname=restored", dump]);
    const copy = await openDatabase(restored, { create: false });
    onTestFinished(() => copy.close());
    expect((await copy.polls.look()).version).toBe((await original.polls.look()).version);
    await testRuntime(copy).must("add-domain", { domain: "later.nl" });
    expect(await textOf(await copy.readState(wholeView))).toContain("later.nl");
  });

  test("leaves nothing behind when it fails", async () => {
    const folder = temporaryFolder();
    const target = join(folder, "copy.db");
    await expect(copyDatabase(join(folder, "none.db"), target, undefined)).rejects.toMatchObject({
      code: "unavailable",
    });
    expect(existsSync(target)).toBe(false);
  });
});
