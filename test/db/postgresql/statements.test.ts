import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { StateDigest } from "../../../src/sync/digest.ts";
import { viewOf, wholeView } from "../../../src/sync/view.ts";
import { Cluster, POSTGRESQL } from "../../support/postgresql.ts";
import { countRoundTrips } from "../../support/round-trips.ts";
import { fakeHash, PASSWORD, testRuntime, testStore } from "../../support/store.ts";

const AT = "2026-03-01T12:00:00.000Z";

/** A database of a PostgreSQL that logs each statement with its plan, and what it has logged since a moment. */
async function loggingWorld(create = `CREATE DATABASE mail`) {
  const explain =
    "auto_explain.log_min_duration=0 -c auto_explain.log_analyze=on -c auto_explain.log_timing=off";
  const cluster = Cluster.start(
    `-c autovacuum=off -c log_statement=all -c log_temp_files=0 -c session_preload_libraries=auto_explain -c ${explain}`,
  );
  onTestFinished(() => cluster.remove());
  await cluster.query("postgres", create);
  const address = cluster.address("mail");
  const store = await openDatabase(address, { create: true });
  onTestFinished(() => store.close());
  const log = () => readFileSync(join(cluster.folder, "log"), "utf8");
  const logged = async (work: () => Promise<unknown>) => {
    const before = log().length;
    await work();
    return log().slice(before);
  };
  return { cluster, address, logged, ...testRuntime(store) };
}

const times = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].length;

describe.skipIf(POSTGRESQL === undefined)("what PostgreSQL is asked", () => {
  test("requests that arrive while it is asked for the state share the next answer", async () => {
    const { store, address, logged } = await loggingWorld();
    const { searchParams } = new URL(address);
    const client = new pg.Client({
      host: searchParams.get("host") ?? "",
      user: "postgres",
      database: "mail",
    });
    await client.connect();
    onTestFinished(() => client.end());
    const looks = await logged(async () => {
      await client.query("BEGIN; LOCK TABLE m25_mail.state IN ACCESS EXCLUSIVE MODE");
      const asked = [];
      for (let n = 0; n < 50; n += 1) {
        asked.push(store.polls.look());
        await nextTurn();
      }
      await client.query("COMMIT");
      await Promise.all(asked);
    });
    expect(times(looks, /execute look:/g)).toBe(2);
  });

  test("a new mailbox takes twelve statements and one update of the state, which stays on its page", async () => {
    const { cluster, must, logged } = await loggingWorld();
    await must("add-domain", { domain: "a.nl" });
    const add = (n: number) => must("add-user", { email: `u${n}@a.nl`, password: PASSWORD });
    await add(0);
    const text = await logged(() => add(1));
    expect(times(text, /LOG: {2}(execute|statement)/g)).toBeLessThanOrEqual(12);
    expect(times(text, /execute \w+: update "state"/g)).toBe(1);
    for (let n = 2; n < 60; n += 1) await add(n);
    const [{ pages } = {}] = await cluster.query(
      "mail",
      "SELECT pg_relation_size('state')::int / current_setting('block_size')::int AS pages",
    );
    expect(pages).toBe(1);
  });

  test("a new mailbox takes three round trips", async () => {
    const { folder, trips } = await countRoundTrips((await loggingWorld()).cluster.folder);
    const store = await openDatabase(`postgres:///mail?host=${folder}&user=postgres`, { create: false });
    onTestFinished(() => store.close());
    const { must } = testRuntime(store);
    await must("add-domain", { domain: "a.nl" });
    const before = [...trips];
    await must("add-user", { email: "jan@a.nl", password: PASSWORD });
    expect(Math.max(...trips.map((number, place) => number - (before[place] ?? 0)))).toBe(3);
  });

  test("a page of all mailboxes reads no more rows than it has, in the middle of a domain and over its end", async () => {
    const { cluster, store, logged } = await loggingWorld();
    await store.write(async ({ domains, users }) => {
      await domains.addAll(["a.nl", "b.nl", "c.nl", "d.nl"], AT);
      const mailbox = { passwordHash: fakeHash(PASSWORD), quotaMb: 1, active: true };
      for (const domain of ["a.nl", "b.nl", "d.nl"]) {
        const localParts = Array.from({ length: 1000 }, (_, n) => `u${String(n).padStart(4, "0")}`);
        await users.addAll(
          localParts.map((localPart) => ({ ...mailbox, localPart, domain })),
          AT,
        );
      }
    });
    await cluster.query("mail", "ANALYZE");
    for (const [localPart, first] of [
      ["u0500", "u0501@a.nl"],
      ["u0950", "u0951@a.nl"],
      ["u0999", "u0000@b.nl"],
    ] as const) {
      const plans = await logged(() =>
        store.read(async ({ users }) => {
          const page = await users.page(100, undefined, { domain: "a.nl", localPart });
          expect(page.length).toBe(100);
          expect(page[0]?.email).toBe(first);
        }),
      );
      const rows = [...plans.matchAll(/on users .*\(actual rows=(\d+)/g)].map(([, number]) => Number(number));
      expect(rows.length).toBeGreaterThan(0);
      expect(Math.max(...rows)).toBeLessThanOrEqual(100);
    }
  });

  test("a snapshot of many pages has every record once, of all domains, of some, and for MX-only nodes", async () => {
    const { store, must } = await loggingWorld();
    await store.write(async ({ domains, users }) => {
      await domains.addAll(["a.nl", "b.nl", "c.nl"], AT);
      for (const domain of ["a.nl", "b.nl", "c.nl"]) {
        const mailboxes = Array.from({ length: 2500 }, (_, n) => {
          const isActive = domain !== "b.nl" || n < 100 || n > 2300; // one page has none that nodes get
          return {
            domain,
            localPart: `u${n}`,
            passwordHash: fakeHash(PASSWORD),
            quotaMb: 1,
            active: isActive,
          };
        });
        await users.addAll(mailboxes, AT);
      }
    });
    await must("set-alias", { address: "info@b.nl", targets: ["u1@a.nl", "u1@c.nl"] });
    await must("set-domain-alias", { domain: "alias.nl", of: "c.nl" });
    for (const view of [
      wholeView,
      viewOf("mail", ["b.nl", "c.nl"]),
      viewOf("mx", null),
      viewOf("mx", ["b.nl"]),
    ]) {
      const reader = await store.readState(view);
      const digest = new StateDigest();
      let users = 0;
      for await (const page of reader.pages()) {
        for (const line of page.split("\n").slice(0, -1)) {
          const record = JSON.parse(line);
          digest.add(record);
          if ("user" in record) users += 1;
        }
      }
      expect(digest.toString()).toBe(reader.summary.digest);
      expect(users).toBe(reader.summary.counts.users);
      await reader.close();
    }
  });

  test("a snapshot of several megabytes needs no file of PostgreSQL's besides the tables", async () => {
    const { store, logged } = await loggingWorld();
    const mailboxes = Array.from({ length: 40_000 }, (_, n) => ({
      domain: "a.nl",
      localPart: `u${n}`,
      passwordHash: fakeHash(PASSWORD),
      quotaMb: 1,
      active: true,
    }));
    await store.write(async ({ domains, users }) => {
      await domains.addAll(["a.nl"], AT);
      await users.addAll(mailboxes, AT);
    });
    let lines = 0;
    const text = await logged(async () => {
      const reader = await store.readState(wholeView);
      for await (const page of reader.pages()) lines += times(page, /\n/g);
      await reader.close();
    });
    expect(lines).toBe(mailboxes.length + 1);
    expect(text).toContain("WITH RECURSIVE pages");
    expect(text).not.toContain("temporary file");
  });

  test("names sort by their bytes in a database with another collation, as in SQLite", async () => {
    const icu = "CREATE DATABASE mail TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'";
    const there = await loggingWorld(icu);
    const here = testStore();
    const domains = ["a-b.nl", "ab.nl", "a.b.nl", "xn--bcher-kva.nl", "0a.nl"];
    const localParts = ["a", "a-b", "a.b", "a_b", "ab", "a0", "0", "z"];
    const [{ order } = {}] = await there.cluster.query(
      "mail",
      "SELECT 'a-b' < 'a.b' AND 'a_b' > 'a0' AS order",
    );
    expect(order).toBe(false); // the database's own order is another
    for (const { store } of [here, there]) {
      await store.write(async (tables) => {
        await tables.domains.addAll(domains, AT);
        const users = domains.flatMap((domain) => localParts.map((localPart) => ({ domain, localPart })));
        const mailbox = { passwordHash: fakeHash(PASSWORD), quotaMb: 1, active: true };
        await tables.users.addAll(
          users.map((user) => ({ ...mailbox, ...user })),
          AT,
        );
      });
    }
    const list = async ({ must }: Pick<typeof here, "must">, endpoint: string, fields: object) => {
      const pages: unknown[] = [];
      for (let cursor: unknown; ; ) {
        const page = await must(endpoint, { ...fields, limit: 3, ...(cursor !== undefined && { cursor }) });
        pages.push(
          ...((page.users ?? page.domains) as Array<Record<string, unknown>>).map(
            ({ email, domain }) => email ?? domain,
          ),
        );
        cursor = page.next_cursor;
        if (typeof cursor !== "string") return pages;
      }
    };
    for (const [endpoint, fields] of [
      ["list-users", {}],
      ["list-users", { domain: "a.b.nl" }],
      ["list-users", { search: "a" }],
      ["list-domains", {}],
    ] as const) {
      const expected = await list(here, endpoint, fields);
      expect(expected.length).toBeGreaterThan(4);
      expect(await list(there, endpoint, fields)).toEqual(expected);
    }
  });
});
