import { join } from "node:path";
import { seedDatabase } from "../db/sqlite/seed.ts";
import { openStore } from "../db/sqlite/store.ts";
import { call } from "../tools/call/call.ts";
import { encodeCursor } from "../tools/call/fields.ts";
import { PasswordHasher } from "../tools/call/password-hash.ts";
import { operator } from "../tools/call/principal.ts";
import type { Tool } from "../tools/call/tool.ts";
import { listDomains } from "../tools/list-domains.ts";
import { listNodes } from "../tools/list-nodes.ts";
import { listUsers } from "../tools/list-users.ts";
import {
  addNodes,
  benchmark,
  median,
  now,
  printTable,
  quantile,
  runtimeOf,
  temporaryFolder,
} from "./support.ts";

const DOMAINS = 1000;
const USERS = 1_000_000;
const FEW_USERS = 10_000;
const NODES = 10_000;
const ROUNDS = 400;

interface Case {
  name: string;
  /** The case to compare with. */
  base: string;
  tool: Tool;
  input: Record<string, unknown>;
  users: number;
  rows: number;
}

/** A page of 100 at any depth, through call(), without a door. */
await benchmark(async () => {
  const folder = temporaryFolder();
  const passwordHash = await new PasswordHasher(10).hash("a password of nobody");
  const runtimes = new Map<number, ReturnType<typeof runtimeOf>>();
  for (const users of [USERS, FEW_USERS]) {
    const database = join(folder, `${users}.db`);
    await seedDatabase(database, { users, domains: DOMAINS, passwordHash, at: now() });
    if (users === USERS) await addNodes(database, NODES);
    runtimes.set(users, runtimeOf(openStore(database, { create: false })));
  }
  const run = async ({ tool, input, users }: Pick<Case, "tool" | "input" | "users">) => {
    const runtime = runtimes.get(users);
    if (runtime === undefined) throw new Error(`no database of ${users} users`);
    const outcome = await call(runtime, { principal: operator("cli"), tool, input });
    if (!outcome.ok) throw outcome.error;
    return outcome.value;
  };

  const perDomain = USERS / DOMAINS;
  const names = (await run({ tool: listDomains, input: { limit: 1000 }, users: USERS })).domains as Array<{
    domain: string;
  }>;
  /** A page after this many users, of all domains or of one. */
  const after = (position: number) => {
    const domain = names[Math.floor((position - 1) / perDomain)]?.domain ?? "";
    const number = ((position - 1) % perDomain) + 1;
    const cursor = encodeCursor([domain, `user${String(number).padStart(String(USERS).length, "0")}`]);
    return position === 0 ? {} : { cursor };
  };
  /** The cursor of a search after this user of a domain in the middle. */
  const found = (search: string, number: number) =>
    encodeCursor([search, "", domain, `user${String(number).padStart(String(USERS).length, "0")}`]);
  const domainAt = DOMAINS / 2;
  const domain = names[domainAt]?.domain ?? "";
  const users = (name: string, base: string, input: Record<string, unknown>, rows = 100): Case => ({
    name: `list_users, ${name}`,
    base: `list_users, ${base}`,
    tool: listUsers,
    input: { limit: 100, ...input },
    users: USERS,
    rows,
  });
  const nodes = (name: string, input: Record<string, unknown>, rows = 100): Case => ({
    name: `list_nodes, ${name}`,
    base: "list_nodes, first page",
    tool: listNodes,
    input: { limit: 100, ...input },
    users: USERS,
    rows,
  });
  const cases: Case[] = [
    users("all, first page", "all, first page", after(0)),
    users("all, middle page", "all, first page", after(USERS / 2 + perDomain / 2)),
    users("all, page over the end of a domain", "all, first page", after(USERS / 2 + perDomain - 50)),
    users("all, last page", "all, first page", after(USERS - 100)),
    users("one domain, first page", "one domain, first page", { domain }),
    users("one domain, middle page", "one domain, first page", {
      domain,
      ...after((domainAt + 0.5) * perDomain),
    }),
    users("one domain, last page", "one domain, first page", {
      domain,
      ...after((domainAt + 1) * perDomain - 100),
    }),
    users("search, first page of all", "all, first page", { search: "user" }),
    users("search, deep page of all", "all, first page", {
      search: "user",
      cursor: found("user", perDomain / 2),
    }),
    users("search, one name of each domain", "all, first page", { search: "user0000500" }),
    users("search, one domain", "one domain, first page", { search: "user", domain }),
    users("search, one address", "all, first page", { search: `user0000001@${domain}` }, 1),
    users("search, one name and how domains begin", "all, first page", { search: "user0000001@domain0" }),
    users("search, nothing there", "all, first page", { search: "zz" }, 0),
    ...[FEW_USERS, USERS].map((count) => ({
      name: `list_domains, ${count} users`,
      base: `list_domains, ${FEW_USERS} users`,
      tool: listDomains,
      input: { limit: 100 },
      users: count,
      rows: 100,
    })),
    nodes("first page", {}),
    nodes("middle page", { cursor: encodeCursor([`node-${NODES / 2}`]) }),
    nodes("of a status that all have", { status: "never" }),
    nodes("of a status that none has", { status: "current" }, 0),
  ];

  const times = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
  for (let round = -50; round < ROUNDS; round += 1) {
    for (const one of cases) {
      const begin = performance.now();
      const result = await run(one);
      const took = (performance.now() - begin) * 1000;
      const rows = ((result.users ?? result.domains ?? result.nodes) as unknown[]).length;
      if (rows !== one.rows) throw new Error(`${one.name} has ${rows} entries`);
      if (round >= 0) times.get(one.name)?.push(took);
    }
  }
  for (const runtime of runtimes.values()) await runtime.store.close();
  printTable(
    [`page of 100, ${USERS} users`, "median µs", "x first", "p99 µs"],
    cases.map(({ name, base }) => {
      const own = times.get(name) ?? [];
      return [
        name,
        median(own).toFixed(0),
        (median(own) / median(times.get(base) ?? [])).toFixed(2),
        quantile(own, 0.99).toFixed(0),
      ];
    }),
  );
});
