/** Does the time of a refused sign-in reveal the reason: which kind of wrong password, or no password set? */
import { join } from "node:path";
import { openStore } from "../db/sqlite/store.ts";
import { OperatorLogin } from "../src/auth/operator-login.ts";
import { PasswordHasher } from "../tools/call/password-hash.ts";
import { benchmark, median, now, printTable, temporaryFolder } from "./support.ts";

const COST = 10;
const PASSWORD = "the operator's own password";
const ATTEMPTS = Number(process.env.ROUNDS ?? 120);
/** Below the number of failures that starts the delays. */
const ATTEMPTS_OF_A_LOGIN = 40;

const guesses: Record<string, { password: string; isSet: boolean }> = {
  "wrong password": { password: "a password that is not it!!", isSet: true },
  "none is set": { password: "a password that is not it!!", isSet: false },
  "all but its last character": { password: PASSWORD.slice(0, -1), isSet: true },
  "empty password": { password: "", isSet: true },
  "password of 1000 characters": { password: "x".repeat(1000), isSet: true },
};

await benchmark(async () => {
  const stores = [true, false].map((isSet) => ({
    isSet,
    store: openStore(join(temporaryFolder(), "m25-mail.db"), { create: true }),
  }));
  const hash = await new PasswordHasher(COST).hash(PASSWORD);
  const empty = () => Object.fromEntries(Object.keys(guesses).map((what): [string, number[]] => [what, []]));
  const times = empty();
  const work = empty();
  for (const { isSet, store } of stores) {
    if (isSet) await store.write((tables) => tables.operator.setPasswordHash(hash, now()));
  }
  let logins: Array<{ isSet: boolean; login: OperatorLogin }> = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (attempt % (ATTEMPTS_OF_A_LOGIN / Object.keys(guesses).length) === 0) {
      logins = stores.map(({ isSet, store }) => ({ isSet, login: new OperatorLogin(store, COST) }));
    }
    // A new order each time, so that the previous case affects all alike.
    for (const [what, { password, isSet }] of shuffled(Object.entries(guesses))) {
      const { login } = logins.find((candidate) => candidate.isSet === isSet) ?? {};
      const cpu = process.cpuUsage();
      const before = performance.now();
      const outcome = await login?.check(password, `192.0.2.${Math.floor(Math.random() * 250)}`);
      if (outcome !== "wrong") throw new Error(`${what}: ${outcome}`);
      times[what]?.push(performance.now() - before);
      const { user, system } = process.cpuUsage(cpu);
      work[what]?.push((user + system) / 1000);
    }
  }
  const wrong = { times: times["wrong password"] ?? [], work: work["wrong password"] ?? [] };
  printTable(
    ["sign-in refused for", "median ms", "longer than wrong", "CPU ms", "x wrong", "more than wrong"],
    Object.keys(guesses).map((what) => {
      const [taken, done] = [times[what] ?? [], work[what] ?? []];
      return [
        what,
        median(taken).toFixed(1),
        `${(100 * longerThan(taken, wrong.times)).toFixed(0)}%`,
        median(done).toFixed(1),
        (median(done) / median(wrong.work)).toFixed(3),
        `${(100 * longerThan(done, wrong.work)).toFixed(0)}%`,
      ];
    }),
  );
  for (const { store } of stores) await store.close();
});

/** The share of pairs in which the first takes longer (Mann-Whitney U). One half reveals nothing. */
function longerThan(these: readonly number[], those: readonly number[]): number {
  const longer = these.flatMap((one) => those.map((other) => Number(one > other)));
  return longer.reduce((sum, each) => sum + each, 0) / longer.length;
}

function shuffled<T>(values: T[]): T[] {
  return values
    .map((value) => ({ value, at: Math.random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ value }) => value);
}
