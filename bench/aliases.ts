/**
 * The time of set_alias beside add_user, both without bcrypt, at 100,000 mailboxes and 10,000 aliases; and of changes that
 * publish many aliases: of a user whom 1,000 aliases lead to, and of an alias with 100 targets.
 */
import { join } from "node:path";
import { seedDatabase } from "../db/sqlite/seed.ts";
import { openStore } from "../db/sqlite/store.ts";
import { addUser } from "../tools/add-user.ts";
import { type Call, call } from "../tools/call/call.ts";
import { operator } from "../tools/call/principal.ts";
import { operatorTools } from "../tools/operator/index.ts";
import { removeUser } from "../tools/remove-user.ts";
import { setAlias } from "../tools/sets/aliases/set-alias.ts";
import {
  benchmark,
  median,
  now,
  printTable,
  quantile,
  runtimeOf,
  someHash,
  temporaryFolder,
} from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 100);
/** The most aliases that may lead to one mailbox, and the most targets of an alias. */
const LEADING = 1000;
const TARGETS = 100;
const DOMAIN = "domain001.example";
const ALIAS = `crowd@${DOMAIN}`;

const user = (number: number) => `user${String(number).padStart(6, "0")}@${DOMAIN}`;
/** None of the aliases that are there at first lead to it. */
const MUCH_LED = user(250);

await benchmark(async () => {
  const database = join(temporaryFolder(), "m25-mail.db");
  await seedDatabase(database, {
    users: 100_000,
    aliases: 10_000,
    domains: 100,
    passwordHash: someHash,
    at: now(),
  });
  const store = openStore(database, { create: false });
  const runtime = { ...runtimeOf(store), hashPassword: async () => someHash() };
  async function run(tool: Call["tool"], input: object): Promise<number> {
    const began = performance.now();
    const outcome = await call(runtime, { principal: operator("cli"), tool, input });
    if (!outcome.ok) throw outcome.error;
    return performance.now() - began;
  }
  const { restoreUser } = operatorTools;
  for (let index = 0; index < LEADING; index += 1) {
    await run(setAlias, { address: `to-one-${index}@${DOMAIN}`, targets: [MUCH_LED] });
  }
  const hundred = Array.from({ length: TARGETS }, (_, index) => user(101 + index));
  await run(setAlias, { address: ALIAS, targets: hundred });

  const password = "a password of somebody";
  const cases: Record<string, (round: number) => Promise<number>> = {
    "add_user, without bcrypt": (round) => run(addUser, { email: `new${round}@${DOMAIN}`, password }),
    "set_alias, new, one target": (round) =>
      run(setAlias, { address: `new-alias${round}@${DOMAIN}`, targets: [user(300 + 2 * round)] }),
    "set_alias, another target": (round) =>
      run(setAlias, { address: `new-alias${round}@${DOMAIN}`, targets: [user(301 + 2 * round)] }),
    "remove_user, in no alias": (round) => run(removeUser, { email: `new${round}@${DOMAIN}` }),
    "remove_user, in one alias": (round) => run(removeUser, { email: user(301 + 2 * round) }),
    "remove_user, in 1,000 aliases": () => run(removeUser, { email: MUCH_LED }),
    "restore_user, in no alias": (round) => run(restoreUser, { email: `new${round}@${DOMAIN}` }),
    "restore_user, in 1,000 aliases": () => run(restoreUser, { email: MUCH_LED }),
    "remove_user, a target of an alias with 100": () => run(removeUser, { email: user(101) }),
    "restore_user, a target of an alias with 100": () => run(restoreUser, { email: user(101) }),
    "set_alias with 100 targets, one of them another": (round) =>
      run(setAlias, { address: ALIAS, targets: [...hundred.slice(1), user(201 + (round % 2))] }),
    "set_alias back to the former 100": () => run(setAlias, { address: ALIAS, targets: hundred }),
  };
  const times = new Map<string, number[]>(Object.keys(cases).map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, one] of Object.entries(cases)) times.get(name)?.push(await one(round));
  }
  const base = times.get("add_user, without bcrypt") ?? [];
  printTable(
    ["100000 mailboxes, 11000 aliases", "median ms", "p99 ms", "x add_user, by round"],
    [...times].map(([name, own]) => [
      name,
      median(own).toFixed(2),
      quantile(own, 0.99).toFixed(1),
      median(own.map((took, round) => took / (base[round] ?? Number.NaN))).toFixed(2),
    ]),
  );
  await store.close();
});
