import { join } from "node:path";
import Database from "better-sqlite3";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { parseAddressStart } from "../../src/mail/address-start.ts";
import { viewOf } from "../../src/sync/view.ts";
import { rawDatabase, textOf } from "../support/recount.ts";
import { PASSWORD, temporaryFolder, testStore } from "../support/store.ts";

/** The SQL of every prepared statement. */
const prepared = new Set<string>();

beforeEach(() => {
  const { prepare } = Database.prototype;
  vi.spyOn(Database.prototype, "prepare").mockImplementation(function (this: Database.Database, text) {
    prepared.add(text);
    return prepare.call(this, text) as never;
  });
  return () => vi.restoreAllMocks();
});

const views = [viewOf("mail", null), viewOf("mx", null), viewOf("mail", ["a.nl"]), viewOf("mx", ["a.nl"])];

test("changes since a revision are found by the indexes on revision, without a sort", async () => {
  const { store, must, file } = testStore();
  await must("add-domain", { domain: "a.nl" });
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  await must("remove-user", { email: "jan@a.nl" });
  prepared.clear();
  const second = testStore(); // prepares the polls' queries
  for (const view of views) {
    const polls = await second.store.polls.look();
    expect(await polls.changes(view, 0, 10)).toBeDefined();
    expect(await textOf(await store.readState(view, 1))).toContain('"removed":true');
  }
  const queries = [...prepared].filter((text) => /revision > @revision/.test(text));
  const database = rawDatabase(file);
  const searches = queries.flatMap((text) => {
    const plan = database.prepare<object, { detail: string }>(`EXPLAIN QUERY PLAN ${text}`);
    const details = plan.all({ revision: 1, limit: 10, names: '["a.nl"]' }).map(({ detail }) => detail);
    expect(details.filter((detail) => /TEMP B-TREE/.test(detail))).toEqual([]);
    expect(details.filter((detail) => /SCAN (users|aliases|removals|domains)/.test(detail))).toEqual([]);
    return details.filter((detail) => /_revision \(revision>\?\)/.test(detail));
  });
  // Domains, users for either role, removals twice, and the count of rows to look at.
  for (const table of ["domains", "users", "aliases", "domain_aliases", "removals"]) {
    expect(searches.join("\n")).toMatch(new RegExp(`SEARCH ${table} .*${table}_revision`));
  }
  expect(searches.length).toBeGreaterThanOrEqual(queries.length);
});

test("a snapshot is read along its tables and one index, for any view, without a sort", async () => {
  const { store, must, file } = testStore();
  await must("add-domain", { domain: "a.nl" });
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  prepared.clear();
  for (const view of views) {
    expect(await textOf(await store.readState(view))).toContain("jan@a.nl");
  }
  const pages = [...prepared].filter((text) => /ORDER BY/.test(text));
  expect(pages.length).toBe(16);
  const database = rawDatabase(file);
  for (const text of pages) {
    const plan = database.prepare<object, { detail: string }>(`EXPLAIN QUERY PLAN ${text}`);
    const details = plan.all({ last: "", name: "a.nl" }).map(({ detail }) => detail);
    expect(details.filter((detail) => /TEMP B-TREE/.test(detail))).toEqual([]);
    expect(details.filter((detail) => /SCAN (users|aliases|domains)/.test(detail))).toEqual([]);
  }
});

test("mailboxes to be purged are found by an index of their own, among any number of others", async () => {
  const { store, file } = testStore();
  prepared.clear();
  await store.write(({ users }) => users.purge("2026-03-01T12:00:00.000Z", 10));
  const [query = ""] = [...prepared].filter((text) => /users\.active = 0/.test(text));
  const plan = rawDatabase(file).prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${query}`);
  const details = plan.all("2026", 10).map(({ detail }) => detail);
  expect(details).toEqual([
    "SEARCH users USING INDEX users_inactive (updated_at<?)",
    "SEARCH domains USING INTEGER PRIMARY KEY (rowid=?)",
  ]);
});

test("the queries on a node's key and on the lag of all nodes use an index", async () => {
  const { store, must, file } = testStore();
  await must("add-node", { name: "pi" });
  prepared.clear();
  const second = testStore();
  await (await second.store.polls.look()).node("0".repeat(16));
  await store.read(({ state }) => state.changedAfter(1));
  const queries = [...prepared].filter((text) => /key_id = @id|"revisions"/.test(text));
  expect(queries.length).toBe(3);
  const database = rawDatabase(file);
  for (const text of queries) {
    const given = text.includes("@id") ? [{ id: "x" }] : [1, 1];
    const plan = database.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${text}`);
    const details = plan.all(...given).map(({ detail }) => detail);
    expect(details.filter((detail) => /SCAN|TEMP B-TREE/.test(detail))).toEqual([]);
  }
});

test("a search finds and counts its mailboxes by the indexes on users, with any limits", async () => {
  const file = join(temporaryFolder(), "m25-mail.db");
  // This many make the name a common one.
  await seedDatabase(file, { users: 1000, domains: 1000, passwordHash: "x", at: "2026-03-01T12:00:00.000Z" });
  const database = rawDatabase(file);
  const within = new Set(["a.nl", "b.nl"]);
  const byLocalPart =
    /SEARCH users USING (?:COVERING )?INDEX users_local_part \((?:local_part>|\(local_part,domain_id\)>)/;
  const byDomain =
    /SEARCH domains .*\(name[\s\S]*SEARCH users .*\(domain_id=\? AND local_part>\? AND local_part<\?\)/;
  const searches: Array<
    [start: string, domain: string | undefined, within: typeof within | undefined, plan: RegExp]
  > = [
    ["jan", undefined, undefined, byLocalPart],
    ["jan@a", undefined, undefined, byLocalPart],
    ["user0001@d", undefined, undefined, byDomain],
    ["user0001@bücher", undefined, undefined, byDomain],
    ["jan", "domain0001.example", undefined, byDomain],
    ["jan@a", "domain0001.example", undefined, byDomain],
    ["jan", undefined, within, byDomain],
    ["jan@a", undefined, within, byDomain],
  ];
  for (const [text, domain, limitedTo, planned] of searches) {
    prepared.clear();
    const store = openStore(file, { create: false }); // has no prepared statements of before
    onTestFinished(() => store.close());
    await store.read(async ({ users }) => {
      const search = users.startingWith(parseAddressStart(text), domain);
      await search.page(10, undefined);
      await search.page(10, { domain: "a.nl", localPart: "jan" });
      await search.count(10);
    }, limitedTo);
    const queries = [...prepared].filter((query) => /local_part"? < /.test(query));
    const isRareName = limitedTo === undefined && text === "jan@a" && domain === undefined;
    const looksForName = limitedTo === undefined && domain === undefined && text.includes("@");
    expect(queries.length, text).toBe(looksForName ? 4 : 3);
    for (const query of queries) {
      const parameters = Array(query.match(/\?/g)?.length).fill("1");
      const plan = database.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${query}`);
      const details = plan.all(...parameters).map(({ detail }) => detail);
      const countsName = looksForName && !query.includes("domains");
      expect(details.join("\n"), query).toMatch(countsName ? byLocalPart : planned);
      expect(details.filter((detail) => /SCAN (users|domains)/.test(detail))).toEqual([]);
      // A rare name matches only a few rows.
      if (!isRareName) expect(details.filter((detail) => /TEMP B-TREE/.test(detail))).toEqual([]);
    }
  }
});

test("the largest and the unused mailboxes of a domain are read in an index", async () => {
  const { must, store, file } = testStore();
  await must("add-domain", { domain: "a.nl" });
  prepared.clear();
  await store.read(async ({ domains, usage }) => {
    const domain = await domains.get("a.nl");
    await usage.largest(domain, 10);
    await usage.largest(domain, 10, { value: 1, id: 1 });
    await usage.unused(domain, "2026-11-30", 10);
    await usage.unused(domain, "2026-11-30", 10, { value: "2026-11-01", id: 1 });
    await usage.count(domain, 10);
    await usage.count(domain, 10, "2026-11-30");
  });
  const queries = [...prepared].filter((text) => /FROM mailbox_usage/.test(text));
  expect(queries.length).toBe(6);
  const database = rawDatabase(file);
  for (const query of queries) {
    const parameters = Array(query.match(/\?/g)?.length).fill("1");
    const plan = database.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${query}`);
    const details = plan.all(...parameters).map(({ detail }) => detail);
    expect(details.join("\n"), query).toMatch(
      /SEARCH mailbox_usage USING .*mailbox_usage_(size|unused) \(domain_id=\?/,
    );
    expect(
      details.filter((detail) => /SCAN (mailbox_usage|users)|TEMP B-TREE/.test(detail)),
      query,
    ).toEqual([]);
  }
});
