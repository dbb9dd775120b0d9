import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeCursor } from "../../tools/call/fields.ts";
import { type Principal, scopes } from "../../tools/call/principal.ts";
import { endpointsIn, expectRefusal } from "../support/outcome.ts";
import { rawDatabase } from "../support/recount.ts";
import { PASSWORD, type TestStore, testStore } from "../support/store.ts";

const NOON = new Date("2026-03-01T12:00:00Z");

/** A token for a.nl and own.nl. Nobody has registered own.nl yet. */
const limited: Principal = {
  name: "a",
  door: "mcp",
  scopes: new Set(scopes),
  domains: new Set(["a.nl", "own.nl"]),
};

async function withTwoDomains(): Promise<TestStore> {
  const made = testStore({ now: () => NOON });
  for (const domain of ["a.nl", "b.nl"]) {
    await made.must("add-domain", { domain });
    for (const name of ["jan", "piet"])
      await made.must("add-user", { email: `${name}@${domain}`, password: PASSWORD });
  }
  return made;
}

test("lists, counts and totals cover the token's domains only", async () => {
  const { run } = await withTwoDomains();
  expect(await run("list-domains", {}, limited)).toMatchObject({
    value: { domains: [{ domain: "a.nl", user_count: 2 }], total: 1, next_cursor: null },
  });
  expect(await run("list-users", {}, limited)).toMatchObject({
    value: { users: [{ email: "jan@a.nl" }, { email: "piet@a.nl" }], total: 2, next_cursor: null },
  });
  expect(await run("list-users", {}, { ...limited, domains: new Set(["nothing.nl"]) })).toMatchObject({
    value: { users: [], total: 0 },
  });
});

test("a limited list's pages skip the domains of others", async () => {
  const { must, run } = await withTwoDomains();
  await must("add-domain", { domain: "c.nl" });
  await must("add-user", { email: "kees@c.nl", password: PASSWORD });
  const principal = { ...limited, domains: new Set(["c.nl", "a.nl"]) };
  const seen: unknown[] = [];
  for (let cursor: unknown; cursor !== null; ) {
    const outcome = await run("list-users", { limit: 1, ...(cursor !== undefined && { cursor }) }, principal);
    if (!outcome.ok) throw outcome.error;
    expect(outcome.value.total).toBe(3);
    seen.push(...(outcome.value.users as Array<{ email: string }>).map(({ email }) => email));
    cursor = outcome.value.next_cursor;
  }
  expect(seen).toEqual(["jan@a.nl", "piet@a.nl", "kees@c.nl"]);
});

test("a domain of others is refused in the same words as a domain that does not exist", async () => {
  const { run } = await withTwoDomains();
  const calls: ReadonlyArray<[endpoint: string, input: (domain: string) => object]> = [
    ["add-domain", (domain) => ({ domain })],
    ["remove-domain", (domain) => ({ domain })],
    ["list-users", (domain) => ({ domain })],
    ["add-user", (domain) => ({ email: `jan@${domain}`, password: PASSWORD })],
    ["update-password", (domain) => ({ email: `jan@${domain}`, password: PASSWORD })],
    ["remove-user", (domain) => ({ email: `jan@${domain}` })],
    ["remove-user", (domain) => ({ email: `jan@${domain}`, hard_delete: true })],
    ["set-user", (domain) => ({ email: `jan@${domain}`, login: "off" })],
    ["create-password-link", (domain) => ({ email: `jan@${domain}`, kind: "reset" })],
    ["invite-user", (domain) => ({ email: `jan@${domain}` })],
  ];
  for (const [endpoint, input] of calls) {
    const [foreign, unknown] = [
      await run(endpoint, input("b.nl"), limited),
      await run(endpoint, input("x.nl"), limited),
    ].map((outcome) => (outcome.ok ? "done" : { ...outcome.error, message: outcome.error.message }));
    expect(JSON.stringify(foreign).replaceAll("b.nl", "x.nl")).toBe(JSON.stringify(unknown));
    expect(foreign).toMatchObject({ code: expect.stringMatching(/^(forbidden|\w+_not_found)$/) });
  }
});

test("a token may register a domain that it is for, and no other", async () => {
  const { run } = await withTwoDomains();
  expectRefusal(await run("add-domain", { domain: "c.nl" }, limited), "forbidden", []);
  const jan = { email: "jan@own.nl", password: PASSWORD };
  expectRefusal(await run("add-user", jan, limited), "domain_not_found", ["list-domains", "add-domain"]);
  expect(await run("add-domain", { domain: "own.nl" }, limited)).toMatchObject({ ok: true });
  expect(await run("add-user", jan, limited)).toMatchObject({ ok: true });
});

test("no hint tells a token to register a domain that it may not register", async () => {
  const { run } = await withTwoDomains();
  const reader: Principal = { name: "r", door: "mcp", scopes: new Set(["read", "destroy"]) };
  for (const outcome of [
    await run("add-user", { email: "jan@b.nl", password: PASSWORD }, limited),
    await run("list-users", { domain: "x.nl" }, reader),
    await run("remove-domain", { domain: "x.nl" }, reader),
    await run("remove-user", { email: "jan@x.nl", hard_delete: true }, reader),
  ]) {
    if (outcome.ok) throw new Error("it was done");
    expect(endpointsIn(outcome.error.hint)).not.toContain("add-domain");
  }
});

test("a token for some domains cannot see nodes, whatever its scopes", async () => {
  const { run, file } = await withTwoDomains();
  expectRefusal(await run("add-node", { name: "pi" }, limited), "forbidden", []);
  expectRefusal(await run("list-nodes", {}, limited), "forbidden");
  expect(rawDatabase(file).prepare("SELECT count(*) FROM nodes").pluck().get()).toBe(0);
});

test("the revision is hidden from a token for some domains, because others' changes raise it", async () => {
  const { run } = await withTwoDomains();
  const jan = { email: "jan@a.nl" };
  expect(await run("update-password", { ...jan, password: PASSWORD }, limited)).toMatchObject({
    value: { revision: null },
  });
  expect(await run("update-password", { ...jan, password: PASSWORD })).toMatchObject({
    value: { revision: expect.any(Number) },
  });
});

/** Returns the rows about b.nl and c.nl. */
function rowsOfOthers(database: ReturnType<typeof rawDatabase>): string {
  const others = "name IN ('b.nl', 'c.nl')";
  return JSON.stringify([
    database.prepare(`SELECT * FROM domains WHERE ${others}`).all(),
    database
      .prepare(`SELECT users.* FROM users JOIN domains ON domains.id = domain_id WHERE ${others}`)
      .all(),
    database
      .prepare(`SELECT aliases.* FROM aliases JOIN domains ON domains.id = domain_id WHERE ${others}`)
      .all(),
    database
      .prepare(
        `SELECT alias_targets.* FROM alias_targets JOIN aliases ON aliases.id = alias_id
         JOIN domains ON domains.id = domain_id WHERE domains.${others}`,
      )
      .all(),
    database
      .prepare(
        `SELECT domain_aliases.* FROM domain_aliases JOIN domains ON domains.id = domain_id WHERE domains.${others}`,
      )
      .all(),
    database.prepare("SELECT * FROM removals WHERE name LIKE '%b.nl' OR name LIKE '%c.nl'").all(),
    database.prepare("SELECT * FROM nodes").all(),
  ]);
}

interface Step {
  /** null: called with the token in all worlds; else by the operator in these worlds, on other domains. */
  worlds: readonly number[] | null;
  endpoint: string;
  input: Record<string, unknown>;
}

const local = fc.constantFrom("jan", "piet", "k");
const steps = (domains: readonly string[], worlds: fc.Arbitrary<Step["worlds"]>): fc.Arbitrary<Step> => {
  const domain = fc.constantFrom(...domains);
  const email = fc.tuple(local, domain).map((parts) => parts.join("@"));
  const address = fc.oneof(
    { weight: 4, arbitrary: email },
    { weight: 1, arbitrary: domain.map((name) => `@${name}`) },
  );
  const search = fc.oneof(local, fc.constantFrom("j", "jan@", "jan@b"), email);
  const cursor = fc.oneof(
    domain.map((name) => encodeCursor([name])),
    fc.tuple(domain, local).map(encodeCursor),
    fc.tuple(search, fc.constantFrom("", "a.nl"), domain, local).map(encodeCursor),
    fc.string({ maxLength: 8 }),
  );
  const limit = fc.constantFrom(1, 2, 100);
  const of = (endpoint: string, fields: Record<string, fc.Arbitrary<unknown>>, requiredKeys: string[] = []) =>
    fc.record({ worlds, endpoint: fc.constant(endpoint), input: fc.record(fields, { requiredKeys }) });
  const password = fc.constantFrom(PASSWORD, "another password", "short");
  return fc.oneof(
    of("add-domain", { domain }, ["domain"]),
    of("remove-domain", { domain }, ["domain"]),
    of("list-domains", { cursor, limit }),
    of("add-user", { email, password, quota_mb: fc.constantFrom(1, 5) }, ["email", "password"]),
    of("remove-user", { email, hard_delete: fc.boolean() }, ["email"]),
    of("list-users", { domain, cursor, limit }),
    of("list-users", { domain, search, cursor, limit }),
    of("list-users", { search }),
    of("list-users", {}),
    of("update-password", { email, password }, ["email", "password"]),
    of("set-user", { email, login: fc.constantFrom("on", "off"), quota_mb: fc.constantFrom(1, 5) }, [
      "email",
    ]),
    of("create-password-link", { email, kind: fc.constant("reset") }, ["email", "kind"]),
    of("invite-user", { email }, ["email"]),
    of("set-alias", { address, targets: fc.array(email, { minLength: 1, maxLength: 3 }) }, [
      "address",
      "targets",
    ]),
    of("remove-alias", { address }, ["address"]),
    of("list-aliases", { domain, target: email, cursor, limit }),
    of("list-aliases", {}),
    of("set-domain-alias", { domain, of: fc.option(domain) }, ["domain", "of"]),
    of("list-nodes", {}),
    of("add-node", { name: fc.constantFrom("pi", "mx") }, ["name"]),
  );
};

/** Runs the calls in two worlds that differ in everything except a.nl and own.nl. */
test("no sequence of calls with a token for domain A changes or reveals anything of B", async () => {
  const sequence = fc.array(
    fc.oneof(
      { weight: 2, arbitrary: steps(["a.nl", "a.nl", "own.nl", "b.nl", "c.nl"], fc.constant(null)) },
      { weight: 1, arbitrary: steps(["b.nl", "c.nl"], fc.constantFrom([0], [1], [0, 1])) },
    ),
    { minLength: 20, maxLength: 60 },
  );
  const answers = new Set<string>();
  await fc.assert(
    fc.asyncProperty(sequence, async (all) => {
      const worlds = [testStore({ now: () => NOON }), testStore({ now: () => NOON })] as const;
      for (const { must } of worlds) {
        await must("add-domain", { domain: "a.nl" });
        await must("add-user", { email: "jan@a.nl", password: PASSWORD });
      }
      const databases = worlds.map(({ file }) => rawDatabase(file));
      await worlds[0].must("add-domain", { domain: "b.nl" });
      await worlds[0].must("add-user", { email: "jan@b.nl", password: PASSWORD });
      for (const { endpoint, input, worlds: chosen } of all) {
        if (chosen !== null) {
          for (const world of chosen) await worlds[world]?.run(endpoint, input);
          continue;
        }
        const before = databases.map(rowsOfOthers);
        const told = await Promise.all(
          worlds.map(async ({ run }) => {
            const outcome = await run(endpoint, input, limited);
            answers.add(`${endpoint} ${outcome.ok ? "done" : outcome.error.code}`);
            return JSON.stringify(
              outcome.ok ? outcome.value : { ...outcome.error, message: outcome.error.message },
            );
          }),
        );
        expect(told[0]).toBe(told[1]);
        expect(databases.map(rowsOfOthers)).toEqual(before);
      }
      expect(worlds.flatMap(({ bugs }) => bugs)).toEqual([]);
    }),
    { numRuns: 30 },
  );
  // The sequences must have covered every kind of answer, or they prove little.
  expect(answers.size).toBeGreaterThan(20);
});

test("alias calls of a token are answered the same whether others' mailboxes, aliases and domain aliases exist or not", async () => {
  const worlds = [testStore({ now: () => NOON }), testStore({ now: () => NOON })] as const;
  for (const { must } of worlds) {
    await must("add-domain", { domain: "a.nl" });
    for (const name of ["jan", "piet"]) await must("add-user", { email: `${name}@a.nl`, password: PASSWORD });
  }
  const others: ReadonlyArray<[endpoint: string, input: object]> = [
    ["add-domain", { domain: "b.nl" }],
    ["add-user", { email: "jan@b.nl", password: PASSWORD }],
    ["set-alias", { address: "info@b.nl", targets: ["jan@b.nl", "jan@a.nl"], send_as: true }],
    ["set-alias", { address: "list@b.nl", targets: ["info@a.nl", "new@a.nl", "info@b.nl"] }],
    ["set-alias", { address: "@b.nl", targets: ["list@b.nl"] }],
    ["set-domain-alias", { domain: "c.nl", of: "b.nl" }],
  ];
  for (const { must } of worlds) await must("add-user", { email: "new@a.nl", password: PASSWORD });
  for (const { must } of worlds) await must("set-alias", { address: "info@a.nl", targets: ["jan@a.nl"] });
  for (const [endpoint, input] of others) await worlds[0].must(endpoint, input);

  const names = ["jan@b.nl", "info@b.nl", "list@b.nl", "any@b.nl", "jan@c.nl", "jan@x.nl"];
  const domains = ["b.nl", "c.nl", "x.nl"];
  const calls: ReadonlyArray<readonly [endpoint: string, input: object]> = [
    ...names.map((name) => ["set-alias", { address: "info@a.nl", targets: ["jan@a.nl", name] }] as const),
    ["set-alias", { address: "@a.nl", targets: names }],
    ["set-alias", { address: "jan@a.nl", targets: ["info@a.nl", "info@b.nl"] }],
    ...names.map((name) => ["list-aliases", { target: name }] as const),
    ["list-aliases", { target: "jan@a.nl" }],
    ["list-aliases", { target: "info@a.nl" }],
    ...["@b.nl", ...names].flatMap((address) => [
      ["set-alias", { address, targets: ["jan@a.nl"] }] as const,
      ["remove-alias", { address }] as const,
    ]),
    ...domains.flatMap((domain) => [
      ["list-aliases", { domain }] as const,
      ["set-domain-alias", { domain, of: "a.nl" }] as const,
      ["set-domain-alias", { domain, of: null }] as const,
      ["set-domain-alias", { domain: "own.nl", of: domain }] as const,
    ]),
    ["set-domain-alias", { domain: "own.nl", of: "a.nl" }],
    ["set-alias", { address: "piet@a.nl", targets: ["jan@own.nl"] }],
    ["list-aliases", {}],
    // Others' aliases lead here, and stand in the way of none of this.
    ["remove-user", { email: "new@a.nl", hard_delete: true }],
    ["remove-alias", { address: "info@a.nl" }],
    ["list-users", {}],
    ["list-aliases", {}],
  ];
  const done = new Set<string>();
  for (const [endpoint, input] of calls) {
    const told = await Promise.all(
      worlds.map(async ({ run }) => {
        const outcome = await run(endpoint, input, limited);
        if (outcome.ok) done.add(endpoint);
        return outcome.ok ? outcome.value : { ...outcome.error, message: outcome.error.message };
      }),
    );
    expect(JSON.stringify(told[0]), `${endpoint} ${JSON.stringify(input)}`).toBe(JSON.stringify(told[1]));
  }
  expect([...done]).toEqual(
    expect.arrayContaining(["set-alias", "remove-alias", "list-aliases", "set-domain-alias"]),
  );
  expect(worlds.flatMap(({ bugs }) => bugs)).toEqual([]);
});
