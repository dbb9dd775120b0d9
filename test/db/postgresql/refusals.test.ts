import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { refuseOld } from "../../../db/postgres/database.ts";
import type { MailError } from "../../../src/mail/error.ts";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { temporaryFolder } from "../../support/store.ts";

const open = (address: string, passwordFile?: string) =>
  openDatabase(address, { create: true, passwordFile });

async function refusal(address: string, passwordFile?: string) {
  const error = await open(address, passwordFile).then(
    (store) => store.close().then(() => undefined),
    (thrown: unknown) => thrown,
  );
  const { code, message, hint } = error as MailError;
  return { code, message, hint: String(hint) };
}

test("PostgreSQL before 13 is too old", () => {
  expect(() => refuseOld("12.22", 120_022)).toThrow(
    "PostgreSQL 12.22 is too old: M25 Mail needs 13 or later.",
  );
  refuseOld("13.0", 130_000);
});

describe.skipIf(POSTGRESQL === undefined)("a database that cannot be used is refused in plain words", () => {
  test("another program's, one of a newer version, one without rights, none of that name; each stays as it was", async () => {
    const cluster = testCluster();
    const other = await cluster.database("other");
    await cluster.query("other", "CREATE TABLE public.invoices (id int)");
    expect((await refusal(other)).message).toContain("has tables of another program");
    expect(await cluster.query("other", "SELECT 1 FROM pg_namespace WHERE nspname = 'm25_mail'")).toEqual([]);

    const newer = await cluster.database("newer");
    await (await open(newer)).close();
    await cluster.query("newer", "UPDATE schema_version SET version = 999");
    expect((await refusal(newer)).message).toMatch(
      /newer version of M25 Mail \(schema 999, this program knows \d+\)/,
    );
    expect(await cluster.query("newer", "SELECT version FROM schema_version")).toEqual([{ version: "999" }]);

    await cluster.database("rights");
    await cluster.query("postgres", "CREATE ROLE guest LOGIN");
    expect((await refusal(cluster.address("rights", "guest"))).hint).toContain("ALTER DATABASE");
    await cluster.query("postgres", "DROP ROLE guest");
    expect((await refusal(cluster.address("nowhere"))).hint).toContain("createdb");
  });

  test("a wrong password is refused and not shown, and the right one is read from the file", async () => {
    const cluster = testCluster();
    const address = await cluster.database("password");
    await cluster.query("postgres", "CREATE ROLE m25 LOGIN PASSWORD 'right-word'");
    await cluster.query("postgres", `ALTER DATABASE "password" OWNER TO m25`);
    const folder = temporaryFolder();
    const file = join(folder, "password");
    const rules = join(cluster.folder, "data", "pg_hba.conf");
    writeFileSync(rules, "local all m25 scram-sha-256\nlocal all all trust\n");
    await cluster.query("postgres", "SELECT pg_reload_conf()");
    const asM25 = address.replace("user=postgres", "user=m25");
    writeFileSync(file, "wrong-word\n");
    await expect.poll(() => refusal(asM25, file)).toMatchObject({ code: "unavailable" });
    const refused = await refusal(asM25, file);
    expect(refused.message).toContain("refuses the user or the password");
    expect(JSON.stringify(refused)).not.toContain("wrong-word");
    expect((await refusal(asM25, join(folder, "none"))).message).toContain("cannot be read");
    writeFileSync(file, "right-word\n");
    const store = await open(asM25, file);
    expect(await store.read(({ state }) => state.revision())).toBe(0);
    await store.close();
  });

  test("a standby, and a PostgreSQL that is not there", async () => {
    const cluster = testCluster();
    const address = await cluster.database("standby");
    await (await open(address)).close();
    execFileSync("touch", [join(cluster.folder, "data", "standby.signal")]);
    cluster.control("restart");
    expect((await refusal(address)).message).toContain("standby");
    execFileSync("rm", [join(cluster.folder, "data", "standby.signal")]);
    cluster.control("stop");
    expect((await refusal(address)).message).toContain("cannot be reached");
    cluster.control("start");
    await (await open(address)).close();
  });
});
