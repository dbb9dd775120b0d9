import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { exportState } from "../../db/sqlite/export.ts";
import { importFiles } from "../../src/doors/cli/import/command.ts";
import { mailCall } from "../support/mail-model.ts";
import { m25mail } from "../support/program.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { PASSWORD, type TestStore, temporaryFolder, testStore } from "../support/store.ts";

/** All that a database says of domains and mailboxes, but for ids, times and revisions. */
function content(file: string) {
  const raw = rawDatabase(file);
  return {
    domains: raw.prepare("SELECT name FROM domains WHERE erase_after IS NULL ORDER BY name").all(),
    users: raw
      .prepare(
        `SELECT name, local_part, password_hash, quota_mb, active FROM users JOIN domains ON domains.id = domain_id
         ORDER BY name, local_part`,
      )
      .all(),
  };
}

const importInto = ({ runtime }: TestStore, file: string) => importFiles(runtime, [file], { from: "csv" });

test("any state that was exported with its hashes and imported into an empty database is the same", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(mailCall, { minLength: 5, maxLength: 25 }), async (calls) => {
      const [from, to] = [testStore(), testStore()];
      for (const { endpoint, input } of calls) await from.run(endpoint, input);
      const file = join(temporaryFolder(), "export.csv");
      const { domains, mailboxes } = await exportState(from.store, file, {
        withHashes: true,
        at: "2026-01-01T00:00:00.000Z",
      });
      const before = content(from.file);
      expect({ domains, mailboxes }).toEqual({
        domains: before.domains.length,
        mailboxes: before.users.length,
      });
      if (domains === 0) return;
      await importInto(to, file);
      expect(content(to.file)).toEqual(before);
      const raw = rawDatabase(to.file);
      expect(kept(raw)).toEqual(recount(raw));
    }),
    { numRuns: 30 },
  );
});

test("an export is a new file for its owner alone, and is in the audit log", async () => {
  const { must, file, store } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  const path = join(temporaryFolder(), "export.csv");
  await store.close();
  expect(await m25mail(["export", path, "--db", file])).toMatchObject({ code: 0, stdout: "" });
  expect(readFileSync(path, "utf8")).toBe("email,quota_mb,active\n@example.nl,,\njan@example.nl,1024,true\n");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const entries = rawDatabase(file)
    .prepare("SELECT arguments FROM audit_log WHERE tool = 'export'")
    .pluck()
    .all();
  expect(entries).toEqual([JSON.stringify({ file: path, with_hashes: false })]);

  writeFileSync(path, "something else");
  expect(await m25mail(["export", path, "--db", file])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("there already"),
  });
  expect(readFileSync(path, "utf8")).toBe("something else");
  const nowhere = join(path, "..", "none", "export.csv");
  expect(await m25mail(["export", nowhere, "--db", file])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("cannot be written"),
  });
  expect(existsSync(nowhere)).toBe(false);
});

test("users of an export without hashes need a new password", async () => {
  const [from, to] = [testStore(), testStore()];
  await from.must("add-domain", { domain: "example.nl" });
  await from.must("add-user", { email: "jan@example.nl", password: PASSWORD, quota_mb: 7 });
  const path = join(temporaryFolder(), "export.csv");
  await exportState(from.store, path, { withHashes: false, at: "2026-01-01T00:00:00.000Z" });
  await importInto(to, path);
  expect(await to.must("list-users")).toMatchObject({ users: [{ quota_mb: 7, active: true }] });
  expect(content(to.file).users).not.toEqual(content(from.file).users);
});
