import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, onTestFinished, test } from "vitest";
import { migrations } from "../../db/sqlite/migrations/index.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import type { MailRecord, UserRecord } from "../../src/sync/records.ts";
import { wholeView } from "../../src/sync/view.ts";
import { kept, rawDatabase, recount, servedState } from "../support/recount.ts";
import { fakeHash, PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";

/** The first schema with OAuth's tables. */
const OAUTH = 6;

const at = "2026-03-01T12:00:00.000Z";
const day = (date: number) => `2026-03-0${date}T12:00:00.000Z`;
const KEY_ID = "0123456789abcdef";
const TOKEN_ID = "fedcba9876543210";
const jan: UserRecord = {
  user: "jan@example.nl",
  password: fakeHash(PASSWORD),
  quota_mb: 2048,
  mailbox: "00112233aabbccdd",
};

function digestOf(...records: MailRecord[]): string {
  const digest = new StateDigest();
  for (const record of records) digest.add(record);
  return digest.toString();
}

const served = {
  digest: digestOf({ domain: "example.nl" }, jan),
  mx_digest: digestOf({ domain: "example.nl" }, { user: jan.user }),
};
const counts = { user_count: 1, inactive_user_count: 1 };
const user = { domain_id: 1, quota_mb: 2048, created_at: day(1), mailbox: jan.mailbox };

/** Rows for every schema. Columns that a schema lacks are left out. */
const rows: ReadonlyArray<[table: string, row: Record<string, string | number | null>]> = [
  ["domains", { id: 1, name: "example.nl", revision: 1, created_at: day(1), ...counts, ...served }],
  [
    "users",
    {
      ...user,
      id: 1,
      local_part: "jan",
      password_hash: jan.password,
      active: 1,
      revision: 2,
      updated_at: day(2),
    },
  ],
  [
    "users",
    { ...user, id: 2, local_part: "piet", password_hash: "x", active: 0, revision: 4, updated_at: day(4) },
  ],
  ["removals", { kind: "user", name: "piet@example.nl", revision: 4, removed_at: day(4) }],
  ["revisions", { revision: 2, digest: digestOf(), at: day(2) }],
  ["revisions", { revision: 4, digest: served.digest, at: day(4) }],
  [
    "nodes",
    {
      id: 1,
      name: "pi",
      ip_address: "192.0.2.1",
      role: "mail",
      domains: '["example.nl"]',
      key_id: KEY_ID,
      key_hash: "k",
      created_at: day(1),
      last_sync_at: day(5),
      applied_revision: 4,
      applied_digest: served.digest,
      applied_part: 'mail["example.nl"]',
      report_status: "applied",
      program_version: "0.1.0",
      reported_at: day(5),
    },
  ],
  ["contacts", { node_id: 1, at: day(5) }],
  [
    "tokens",
    { id: 1, name: "claude", token_id: TOKEN_ID, token_hash: "t", scopes: "read write", created_at: at },
  ],
  [
    "audit_log",
    {
      id: 7,
      at: day(2),
      principal: "claude",
      door: "rest",
      tool: "add-user",
      arguments: '{"email":"jan@example.nl"}',
      revision: 2,
    },
  ],
  ["oauth", { kind: "Client", id: "c", payload: '{"client_id":"cursor","redirect_uris":[]}' }],
  ["operator", { id: 1, password_hash: "o", changed_at: at }],
];

/** Returns a file as the program of that schema left it. */
function databaseOf(version: number): string {
  const file = join(temporaryFolder(), "m25-mail.db");
  const database = new Database(file);
  database.pragma("journal_mode = WAL");
  for (const migration of migrations.slice(0, version)) database.exec(migration);
  database.pragma("application_id = 0x4d32354d");
  database.pragma(`user_version = ${version}`);
  for (const [table, row] of rows) {
    const columns = database.pragma(`table_info(${table})`) as Array<{ name: string }>;
    const names = columns.map(({ name }) => name).filter((name) => name in row);
    if (names.length === 0) continue; // the table does not exist yet
    const values = names.map((name) => `:${name}`);
    database.prepare(`INSERT INTO ${table} (${names.join()}) VALUES (${values.join()})`).run(row);
  }
  database
    .prepare(
      "UPDATE state SET revision = 4, domain_count = 1, user_count = 1, inactive_user_count = 1, digest = :digest, mx_digest = :mx_digest",
    )
    .run(served);
  database.exec("UPDATE nodes SET applied_history = (SELECT history FROM state)");
  database.close();
  return file;
}

test.each(migrations.map((_, index) => index + 1))(
  "a database of schema %i opens with all its data, for tools and for nodes",
  async (version) => {
    const file = databaseOf(version);
    const history = rawDatabase(file).prepare("SELECT history FROM state").pluck().get();
    const store = openStore(file, { create: false });
    onTestFinished(() => store.close());
    const { must, bugs } = testRuntime(store, { now: () => new Date(day(5)) });

    expect(await must("list-domains")).toMatchObject({
      total: 1,
      domains: [{ domain: "example.nl", user_count: 1 }],
    });
    const users = [
      { email: jan.user, active: true, quota_mb: 2048, created_at: day(1), updated_at: day(2) },
      { email: "piet@example.nl", active: false, updated_at: day(4) },
    ];
    expect(await must("list-users")).toMatchObject({ total: 2, users });
    expect(await must("list-users", { search: "ja" })).toMatchObject({ total: 1 });
    expect(await must("list-nodes")).toMatchObject({
      revision: 4,
      nodes: [
        { name: "pi", ip_address: "192.0.2.1", applied_revision: 4, last_sync_at: day(5), status: "current" },
      ],
    });
    expect(await store.token(TOKEN_ID)).toMatchObject({ name: "claude" });
    const entries = await store.read(({ audit }) => audit.page(10, {}, undefined));
    expect(entries).toMatchObject([
      { id: 7, at: day(2), principal: "claude", outcome: "done", arguments: { email: jan.user } },
    ]);
    if (version >= OAUTH) {
      expect(await store.read(({ grants }) => grants.clients())).toMatchObject([{ client_id: "cursor" }]);
    }

    const polls = await store.polls.look();
    expect(await polls.state(wholeView)).toMatchObject({ history, revision: 4, digest: served.digest });
    const node = await polls.node(KEY_ID);
    expect(node).toMatchObject({
      name: "pi",
      accepted: null,
      view: { role: "mail", domains: ["example.nl"] },
    });
    expect((await polls.changes(wholeView, 2, 10))?.lines).toEqual([
      '{"user":"piet@example.nl","removed":true}\n',
    ]);
    expect([...(await servedState(store)).users.values()]).toEqual([jan]);
    const database = rawDatabase(file);
    expect(kept(database)).toEqual(recount(database));

    // Work continues from there.
    await store.recordContacts({ nodes: new Map([[1, "192.0.2.1"]]), tokens: new Set(), at: day(5) });
    await must("rotate-key", { name: "pi" });
    await store.write(async ({ nodes }) => {
      const next = database.prepare("SELECT next_key_hash FROM nodes").pluck().get();
      expect(await nodes.promoteKey(1, String(next), day(5))).toBe(true);
    });
    expect(await (await store.polls.look()).endedKey(KEY_ID)).toMatchObject({
      hash: "k",
      node: { id: 1, name: "pi" },
    });
    expect(await must("list-node-details")).toMatchObject({
      nodes: [{ last_sync_at: day(5), last_address: "192.0.2.1", ended_key_used_at: null }],
    });
    await must("add-user", { email: "piet@example.nl", password: PASSWORD });
    await must("remove-user", { email: jan.user, hard_delete: true });
    expect(kept(database)).toEqual(recount(database));
    expect(database.prepare("SELECT count(*) FROM audit_log").pluck().get()).toBe(4);
    expect(database.pragma("integrity_check", { simple: true })).toBe("ok");
    expect(database.pragma("foreign_key_check")).toEqual([]);
    expect(bugs).toEqual([]);
  },
);
