import Database from "better-sqlite3";
import { beforeEach, expect, test, vi } from "vitest";
import { viewOf } from "../../src/sync/view.ts";
import { rawDatabase } from "../support/recount.ts";
import { PASSWORD, testStore } from "../support/store.ts";

/** Every statement that is prepared, as SQLite is given it. */
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

test("what changed since a revision is found by the indexes on revision, and nothing is sorted", async () => {
  const { store, must, file } = testStore();
  await must("add-domain", { domain: "a.nl" });
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  await must("remove-user", { email: "jan@a.nl" });
  prepared.clear();
  const second = testStore(); // prepares the polls' queries
  for (const view of views) {
    expect(second.store.polls.now().changes(view, 0, 10)).toBeDefined();
    const reading = store.readState(view, 1);
    expect([...reading.pages()].join("")).toContain('"removed":true');
    reading.close();
  }
  const queries = [...prepared].filter((text) => /revision > @revision/.test(text));
  const database = rawDatabase(file);
  const searches = queries.flatMap((text) => {
    const plan = database.prepare<object, { detail: string }>(`EXPLAIN QUERY PLAN ${text}`);
    const details = plan.all({ revision: 1, limit: 10, names: '["a.nl"]' }).map(({ detail }) => detail);
    expect(details.filter((detail) => /TEMP B-TREE/.test(detail))).toEqual([]);
    expect(details.filter((detail) => /SCAN (users|removals|domains)/.test(detail))).toEqual([]);
    return details.filter((detail) => /_revision \(revision>\?\)/.test(detail));
  });
  // Domains, users for either role, removals twice, and the count of what would be looked at.
  for (const table of ["domains", "users", "removals"]) {
    expect(searches.join("\n")).toMatch(new RegExp(`SEARCH ${table} .*${table}_revision`));
  }
  expect(searches.length).toBeGreaterThanOrEqual(queries.length);
});

test("a snapshot is read along its tables and one index, whatever the node is limited to, and nothing is sorted", async () => {
  const { store, must, file } = testStore();
  await must("add-domain", { domain: "a.nl" });
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  prepared.clear();
  for (const view of views) {
    const reading = store.readState(view);
    expect([...reading.pages()].join("")).toContain("jan@a.nl");
    reading.close();
  }
  const pages = [...prepared].filter((text) => /ORDER BY/.test(text));
  expect(pages.length).toBe(6);
  const database = rawDatabase(file);
  for (const text of pages) {
    const plan = database.prepare<object, { detail: string }>(`EXPLAIN QUERY PLAN ${text}`);
    const details = plan.all({ last: "", name: "a.nl" }).map(({ detail }) => detail);
    expect(details.filter((detail) => /TEMP B-TREE/.test(detail))).toEqual([]);
    expect(details.filter((detail) => /SCAN (users|domains)/.test(detail))).toEqual([]);
  }
});

test("what becomes of a node's key, and of the lag of all nodes, is found by an index too", async () => {
  const { store, must, file } = testStore();
  await must("add-node", { name: "pi" });
  prepared.clear();
  const second = testStore();
  second.store.polls.now().node("0".repeat(16));
  await store.read(({ state }) => state.changedAfter(1));
  const queries = [...prepared].filter((text) => /key_id = @id|"revisions"/.test(text));
  expect(queries.length).toBe(2);
  const database = rawDatabase(file);
  for (const text of queries) {
    const given = text.includes("@id") ? [{ id: "x" }] : [1, 1];
    const plan = database.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${text}`);
    const details = plan.all(...given).map(({ detail }) => detail);
    expect(details.filter((detail) => /SCAN|TEMP B-TREE/.test(detail))).toEqual([]);
  }
});
