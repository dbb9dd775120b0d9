/** One read of a delta from the database, in this checkout beside an earlier one: `node bench/delta-comparison.ts FOLDER`. */
import { join, resolve } from "node:path";
import type { Tables } from "../db/store.ts";
import { benchmark, median, now, printTable, runtimeOf, temporaryFolder } from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 30);
const READS = 1_000;

await benchmark(async () => {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error("Name the folder of an earlier checkout.");
  const sides = { before: await prepare(resolve(folder)), now: await prepare(resolve(".")) };
  const times = { before: [] as number[], now: [] as number[] };
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const side of ["before", "now"] as const) {
      const began = process.cpuUsage();
      for (let index = 0; index < READS; index += 1) await sides[side]();
      const { user, system } = process.cpuUsage(began);
      if (round >= 0) times[side].push((user + system) / READS);
    }
  }
  const ratios = times.now.map((time, round) => time / (times.before[round] ?? Number.NaN));
  printTable(
    ["reading a delta of one mailbox", "CPU µs", "x before, by round"],
    (["before", "now"] as const).map((side) => [
      side,
      median(times[side]).toFixed(0),
      side === "now" ? median(ratios).toFixed(2) : "1.00",
    ]),
  );
});

/** Changes one of 10,000 mailboxes, with a checkout's own code. Returns what reads this change. */
async function prepare(checkout: string): Promise<() => Promise<unknown>> {
  const own = (file: string) => import(join(checkout, file));
  const [{ seedDatabase }, { openStore }, { wholeView }, { call }, { operator }, { setUser }] =
    await Promise.all([
      own("db/sqlite/seed.ts"),
      own("db/sqlite/store.ts"),
      own("src/sync/view.ts"),
      own("tools/call/call.ts"),
      own("tools/call/principal.ts"),
      own("tools/sets/people/set-user.ts"),
    ]);
  const database = join(temporaryFolder(), "m25-mail.db");
  const passwordHash = `{BLF-CRYPT}$2b$10$${"a".repeat(53)}`;
  await seedDatabase(database, { users: 10_000, aliases: 0, domains: 100, passwordHash, at: now() });
  const store = openStore(database, { create: false });
  // Checkouts before 2026-11-29 look at once.
  const look = () => store.polls.look?.() ?? store.polls.now();
  const { revision } = await (await look()).state(wholeView);
  const [user] = await store.read(({ users }: Pick<Tables, "users">) => users.page(1, undefined, undefined));
  const input = { email: user.email, quota_mb: 77 };
  const principal = operator("cli");
  const outcome = await call(runtimeOf(store), { principal, tool: setUser, input });
  if (!outcome.ok) throw outcome.error;
  const polls = await look();
  return async () => polls.changes(wholeView, revision, 1_000);
}
