import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { exportState } from "../../db/sqlite/export.ts";
import { importFiles } from "../../src/doors/cli/import/command.ts";
import { callOf, mailCall } from "../support/mail-model.ts";
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
    domainAliases: raw
      .prepare(
        "SELECT domain_aliases.name, domains.name AS of FROM domain_aliases JOIN domains ON domains.id = domain_id ORDER BY 1",
      )
      .all(),
    aliases: raw
      .prepare(
        `SELECT local_part || '@' || name AS address, send_as, live, (SELECT json_group_array(target) FROM
           (SELECT local_part || '@' || domain || iif(standing = 'waiting', ' waits', '') AS target FROM alias_targets
            WHERE alias_id = aliases.id ORDER BY domain, local_part)) AS targets
         FROM aliases JOIN domains ON domains.id = domain_id WHERE erase_after IS NULL ORDER BY name, local_part`,
      )
      .all(),
  };
}

const email = fc
  .tuple(fc.constantFrom("jan", "piet", "info"), fc.constantFrom("a.nl", "b.nl", "c.nl"))
  .map((parts) => parts.join("@"));
const aliasCall = fc.oneof(
  callOf(6, "set-alias", {
    address: fc.oneof(email, fc.constantFrom("@a.nl", "@b.nl")),
    targets: fc.uniqueArray(fc.oneof(email, fc.constantFrom("x@out.nl", "y@out.nl", "jan@d.nl")), {
      minLength: 1,
      maxLength: 3,
    }),
  }),
  callOf(2, "set-alias", { address: email, targets: email.map((one) => [one]), send_as: fc.constant(true) }),
  callOf(2, "approve-alias", { address: email, targets: fc.constant(["x@out.nl"]) }),
  callOf(1, "remove-user", { email, hard_delete: fc.boolean() }),
  callOf(1, "set-domain-alias", {
    domain: fc.constantFrom("d.nl", "e.nl"),
    of: fc.constantFrom("a.nl", "b.nl"),
  }),
);
const START = [
  ...["a.nl", "b.nl"].map((domain) => ({ endpoint: "add-domain", input: { domain } })),
  ...["jan@a.nl", "piet@b.nl"].map((one) => ({
    endpoint: "add-user",
    input: { email: one, password: PASSWORD },
  })),
];

/** A domain alias that moves makes an alias lead back to itself. */
const MOVED = [
  { endpoint: "set-domain-alias", input: { domain: "d.nl", of: "a.nl" } },
  { endpoint: "set-alias", input: { address: "jan@b.nl", targets: ["jan@d.nl", "jan@a.nl"] } },
  { endpoint: "set-alias", input: { address: "info@a.nl", targets: ["jan@b.nl"] } },
  { endpoint: "set-domain-alias", input: { domain: "d.nl", of: "b.nl" } },
];

const importInto = ({ runtime }: TestStore, file: string) =>
  importFiles(runtime, [file], { from: "csv", approveOutside: true });

test("any state that was exported with its hashes and imported into an empty database is the same", async () => {
  let most = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(mailCall, aliasCall), { minLength: 5, maxLength: 40, size: "max" }),
      async (some) => {
        const calls: Iterable<{ endpoint: string; input: unknown }> = [...START, ...some];
        const [from, to] = [testStore(), testStore()];
        for (const { endpoint, input } of calls) await from.run(endpoint, input);
        const file = join(temporaryFolder(), "export.csv");
        const { domains, mailboxes, aliases } = await exportState(from.store, file, {
          withHashes: true,
          at: "2026-01-01T00:00:00.000Z",
        });
        const before = content(from.file);
        most = Math.max(most, aliases);
        expect({ domains, mailboxes, aliases }).toEqual({
          domains: before.domains.length,
          mailboxes: before.users.length,
          aliases: before.aliases.length,
        });
        await importInto(to, file);
        expect(content(to.file)).toEqual(before);
        const raw = rawDatabase(to.file);
        expect(kept(raw)).toEqual(recount(raw));
      },
    ),
    { numRuns: 30, examples: [[MOVED]] },
  );
  expect(most).toBeGreaterThan(2);
});

test("an export is a new file for its owner alone, and is in the audit log", async () => {
  const { must, file, store } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  const path = join(temporaryFolder(), "export.csv");
  await store.close();
  const exported = await m25mail(["export", path, "--db", file, "--json"]);
  expect(exported).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(exported.stdout)).toEqual({ database: file, file: path, domains: 1, mailboxes: 1 });
  expect(readFileSync(path, "utf8")).toBe(
    "email,quota_mb,active,targets,waiting_targets,send_as\n@example.nl,,,,,\njan@example.nl,1024,true,,,\n",
  );
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

test("a target in a domain that is gone waits after an export and an import, whatever the operator approves", async () => {
  const [from, to] = [testStore(), testStore()];
  for (const domain of ["a.nl", "b.nl"]) await from.must("add-domain", { domain });
  await from.must("add-user", { email: "thief@b.nl", password: PASSWORD });
  await from.must("set-alias", { address: "info@a.nl", targets: ["thief@b.nl"] });
  await from.must("remove-user", { email: "thief@b.nl", hard_delete: true });
  await from.must("remove-domain", { domain: "b.nl" });
  const path = join(temporaryFolder(), "export.csv");
  await exportState(from.store, path, { withHashes: true, at: "2026-01-01T00:00:00.000Z" });
  await importInto(to, path);
  expect(await to.must("list-aliases")).toMatchObject({
    aliases: [{ live_targets: [], pending_targets: ["thief@b.nl"] }],
  });
});
