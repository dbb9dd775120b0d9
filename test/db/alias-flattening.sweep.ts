import type Database from "better-sqlite3";
import fc from "fast-check";
import { expect, test } from "vitest";
import { callOf } from "../support/mail-model.ts";
import { kept, rawDatabase, recount, servedState } from "../support/recount.ts";
import { PASSWORD, testStore } from "../support/store.ts";

interface Row {
  alias: string;
  target: string;
  standing: "own" | "approved" | "waiting";
}

/** Reads where each alias must lead, by walking from it, step by step. */
function naive(database: Database.Database): Map<string, string[]> {
  const all = <T>(query: string) => database.prepare<[], T>(query).all();
  const domains = new Set(all<{ name: string }>("SELECT name FROM domains").map(({ name }) => name));
  const ofAlias = new Map(
    all<{ name: string; of: string }>(
      "SELECT domain_aliases.name, domains.name AS of FROM domain_aliases JOIN domains ON domains.id = domain_id",
    ).map(({ name, of }) => [name, of]),
  );
  const users = new Set(
    all<{ email: string }>(
      "SELECT local_part || '@' || name AS email FROM users JOIN domains ON domains.id = domain_id WHERE active = 1",
    ).map(({ email }) => email),
  );
  const rows = all<Row>(`SELECT aliases.local_part || '@' || coalesce(name, '') AS alias,
      t.local_part || '@' || t.domain AS target, standing
    FROM aliases LEFT JOIN domains ON domains.id = domain_id JOIN alias_targets t ON t.alias_id = aliases.id`);
  const targets = Map.groupBy(rows, ({ alias }) => alias);
  const domainOf = (address: string) => address.slice(address.indexOf("@") + 1);
  const isHere = (name: string) => domains.has(name) || ofAlias.has(name);
  const walk = (address: string, seen: Set<string>): Set<string> => {
    if (seen.has(address)) return seen;
    seen.add(address);
    const of = ofAlias.get(domainOf(address));
    if (of !== undefined) walk(`${address.slice(0, address.indexOf("@"))}@${of}`, seen);
    for (const { target, standing } of targets.get(address) ?? []) {
      if (standing === "approved" || (standing === "own" && isHere(domainOf(target)))) walk(target, seen);
    }
    return seen;
  };
  return new Map(
    [...targets.keys()].map((alias) => [
      alias,
      [...walk(alias, new Set())]
        .filter((address) => users.has(address) || (!isHere(domainOf(address)) && !address.startsWith("@")))
        .sort(),
    ]),
  );
}

const local = fc.constantFrom("jan", "piet", "info", "sales");
const domain = fc.constantFrom("a.nl", "b.nl");
const email = fc.tuple(local, domain).map((parts) => parts.join("@"));
const target = fc.oneof(
  { weight: 6, arbitrary: email },
  { weight: 1, arbitrary: fc.constantFrom("x@out.nl", "jan@c.nl", "jan@d.nl") },
);
const address = fc.oneof(
  { weight: 5, arbitrary: email },
  { weight: 1, arbitrary: domain.map((d) => `@${d}`) },
);
const calls = fc.array(
  fc.oneof(
    callOf(2, "add-domain", { domain: fc.constantFrom("a.nl", "b.nl", "c.nl", "out.nl") }),
    callOf(2, "remove-domain", { domain: fc.constantFrom("b.nl", "c.nl", "c.nl", "out.nl") }),
    callOf(4, "add-user", { email: fc.oneof(email, target), password: fc.constant(PASSWORD) }),
    callOf(3, "remove-user", { email, hard_delete: fc.boolean() }),
    callOf(2, "restore-user", { email }),
    callOf(3, "rename-user", { email, new_email: email, keep_alias: fc.boolean() }),
    callOf(8, "set-alias", { address, targets: fc.uniqueArray(target, { minLength: 1, maxLength: 3 }) }),
    callOf(2, "remove-alias", { address }),
    callOf(2, "set-domain-alias", {
      domain: fc.constantFrom("c.nl", "d.nl", "d.nl"),
      of: fc.constantFrom("a.nl", "b.nl", "c.nl", null),
    }),
    callOf(5, "approve-alias", {
      address,
      targets: fc.tuple(fc.oneof(target, fc.constantFrom("x@out.nl", "jan@c.nl"))),
    }),
    callOf(1, "set-postmaster", { address: fc.oneof(target, fc.constant("none")) }),
  ),
  { minLength: 15, maxLength: 50, size: "max" },
);

/** Each sequence ends with these calls, which alone have every answer that the test asks for below. */
const LAST = [
  { endpoint: "add-domain", input: { domain: "e.nl" } },
  { endpoint: "set-alias", input: { address: "@e.nl", targets: ["x@far.nl"] } },
  { endpoint: "remove-domain", input: { domain: "e.nl" } },
  { endpoint: "set-alias", input: { address: "last@a.nl", targets: ["x@far.nl", "y@far.nl", "z@far.nl"] } },
  { endpoint: "set-alias", input: { address: "last@a.nl", targets: ["last@a.nl"] } },
  { endpoint: "set-alias", input: { address: "last@a.nl", targets: ["nobody@a.nl"] } },
  { endpoint: "set-domain-alias", input: { domain: "f.nl", of: "a.nl" } },
  { endpoint: "set-postmaster", input: { address: "none" } },
  { endpoint: "approve-alias", input: { address: "last@a.nl", targets: ["x@far.nl", "z@far.nl"] } },
  { endpoint: "approve-alias", input: { address: "last@a.nl", targets: ["y@far.nl"] } },
  { endpoint: "remove-alias", input: { address: "last@a.nl" } },
  { endpoint: "add-user", input: { email: "old@e.nl", password: PASSWORD } },
  { endpoint: "rename-user", input: { email: "old@e.nl", new_email: "new@e.nl", keep_alias: true } },
];

test("after any calls, each alias leads where a walk from it leads, and nodes are served exactly that", async () => {
  const done = new Set<string>();
  let longest = 0;
  await fc.assert(
    fc.asyncProperty(calls, async (sequence) => {
      const { run, must, store, file, bugs } = testStore();
      const database = rawDatabase(file);
      for (const name of ["a.nl", "b.nl"]) await must("add-domain", { domain: name });
      for (const name of ["jan@a.nl", "piet@b.nl"])
        await must("add-user", { email: name, password: PASSWORD });
      for (const { endpoint, input } of [...sequence, ...LAST]) {
        const outcome = await run(endpoint, input);
        done.add(`${endpoint} ${outcome.ok ? "done" : outcome.error.code}`);
        expect(kept(database)).toEqual(recount(database));
        const wanted = naive(database);
        const { aliases } = await servedState(store);
        expect(
          new Map([...aliases].map(([name, record]) => [name, "targets" in record && record.targets])),
        ).toEqual(wanted);
        const listed = await must("list-aliases", { limit: 1000 });
        for (const { address: listedAddress, live_targets } of listed.aliases as Array<{
          address: string;
          live_targets: string[];
        }>) {
          expect(live_targets).toEqual(wanted.get(listedAddress));
        }
        longest = Math.max(longest, ...[...wanted.values()].map(({ length }) => length));
      }
      expect(bugs).toEqual([]);
    }),
    { numRuns: 12 },
  );
  // The sequences must have covered enough, or they prove little.
  expect(longest).toBeGreaterThan(2);
  for (const answer of [
    "set-alias done",
    "set-alias invalid_input",
    "set-alias user_not_found",
    "approve-alias done",
    "remove-alias done",
    "set-domain-alias done",
    "set-postmaster done",
    "rename-user done",
    "remove-domain domain_has_aliases",
  ]) {
    expect(done).toContain(answer);
  }
});
