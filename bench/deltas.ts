/**
 * The server's cost of a delta of one mailbox and of one alias, at 10,000 and at 1,000,000 users with a tenth as many aliases,
 * beside a 304.
 */
import { Agent, get } from "node:http";
import { join } from "node:path";
import { createBrotliDecompress } from "node:zlib";
import { seedDatabase } from "../db/sqlite/seed.ts";
import { openStore } from "../db/sqlite/store.ts";
import type { Store } from "../db/store.ts";
import { wholeView } from "../src/sync/view.ts";
import { call } from "../tools/call/call.ts";
import { operator } from "../tools/call/principal.ts";
import { setAlias } from "../tools/sets/aliases/set-alias.ts";
import { setUser } from "../tools/sets/people/set-user.ts";
import {
  addNodes,
  benchmark,
  median,
  now,
  type Program,
  print,
  printTable,
  runtimeOf,
  serve,
  temporaryFolder,
} from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const POLLS = 1_000;
const READS = 2_000;

const changes = {
  mailbox: {
    tool: setUser,
    input: (email: string) => ({ email, quota_mb: 77 }),
  },
  alias: {
    tool: setAlias,
    input: (email: string) => ({ address: email.replace("user", "alias"), targets: [email], send_as: true }),
  },
};

interface Case {
  users: number;
  server: Program;
  store: Store;
  url: string;
  key: string;
  /** Cursors of the state before the last change, and of the current state. */
  before: string;
  current: string;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

const figures = ["304 CPU", "304", "delta CPU", "delta", "read"] as const;
type Figures = Record<(typeof figures)[number], number[]>;

await benchmark(async () => {
  const cases = [await prepare(10_000), await prepare(1_000_000)] as const;
  const rows: string[][] = [];
  const ratios: string[] = [];
  for (const what of ["mailbox", "alias"] as const) {
    const found = [await changeOne(cases[0], what), await changeOne(cases[1], what)] as const;
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [index, each] of cases.entries()) await measure(each, found[index as 0 | 1]);
    }
    for (const [index, { users }] of cases.entries()) {
      const own = found[index as 0 | 1].figures;
      rows.push([`${users}, one ${what}`, ...figures.map((name) => median(own[name]).toFixed(0))]);
    }
    const ratio = (name: keyof Figures) =>
      median(
        found[1].figures[name].map((value, round) => value / (found[0].figures[name][round] ?? 0)),
      ).toFixed(2);
    ratios.push(
      `one ${what} at 1,000,000, x at 10,000: CPU ${ratio("delta CPU")}, time ${ratio("delta")}, reading alone ${ratio("read")}`,
    );
  }
  printTable(
    ["users, delta of", "304 CPU µs", "304 µs", "delta CPU µs", "delta µs", "reading the delta µs"],
    rows,
  );
  for (const ratio of ratios) print(ratio);
});

async function prepare(users: number): Promise<Case> {
  const database = join(temporaryFolder(), "m25-mail.db");
  const passwordHash = `{BLF-CRYPT}$2b$10$${"a".repeat(53)}`;
  await seedDatabase(database, { users, aliases: users / 10, domains: 100, passwordHash, at: now() });
  const [key = ""] = await addNodes(database, 1);
  const server = serve(database);
  const url = await server.url();
  const current = await cursor(`${url}/sync/v1/maps`, key);
  const store = openStore(database, { create: false });
  return { users, server, store, url, key, before: current, current };
}

/** Changes one record. Returns a place for the figures, and how to read the delta from the database. */
async function changeOne(
  each: Case,
  what: keyof typeof changes,
): Promise<{ figures: Figures; read: () => Promise<number> }> {
  const { store, url, key } = each;
  const [user] = await store.read(({ users }) => users.page(1, undefined, undefined));
  const { revision } = await (await store.polls.look()).state(wholeView);
  const { tool, input } = changes[what];
  const outcome = await call(runtimeOf(store), {
    principal: operator("cli"),
    tool,
    input: input(user?.email ?? ""),
  });
  if (!outcome.ok) throw outcome.error;
  each.before = each.current;
  each.current = await cursor(`${url}/sync/v1/maps?since=${each.before}`, key);
  const read = async () => {
    const polls = await store.polls.look();
    const began = performance.now();
    for (let index = 0; index < READS; index += 1) await polls.changes(wholeView, revision, 1_000);
    return ((performance.now() - began) / READS) * 1000;
  };
  return { figures: { "304 CPU": [], "304": [], "delta CPU": [], delta: [], read: [] }, read };
}

async function measure(each: Case, { figures, read }: Awaited<ReturnType<typeof changeOne>>): Promise<void> {
  const unchanged = await poll(each, each.current, 304);
  figures["304 CPU"].push(unchanged.cpu);
  figures["304"].push(unchanged.time);
  const delta = await poll(each, each.before, 200);
  figures["delta CPU"].push(delta.cpu);
  figures.delta.push(delta.time);
  figures.read.push(await read());
}

/** The cursor of an answer. Only the first line is read. */
function cursor(url: string, key: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${key}`, "accept-encoding": "br" };
    get(url, { headers }, (response) => {
      const body =
        response.headers["content-encoding"] === "br" ? response.pipe(createBrotliDecompress()) : response;
      let text = "";
      body.on("data", (chunk: Buffer) => {
        text += text.includes("\n") ? "" : chunk;
      });
      body.on("end", () => resolve(/"cursor":"([^"]+)"/.exec(text)?.[1] ?? ""));
      body.on("error", reject);
    }).on("error", reject);
  });
}

/** Microseconds a poll: the server's processor time, and until the answer. */
async function poll({ server, url, key }: Case, since: string, expected: number) {
  const began = performance.now();
  const cpu = server.cpuSeconds();
  for (let index = 0; index < POLLS; index += 1) {
    const status = await new Promise<number>((resolve, reject) => {
      const headers = { authorization: `Bearer ${key}` };
      get(`${url}/sync/v1/maps?since=${since}`, { agent, headers }, (response) => {
        response.resume().on("end", () => resolve(response.statusCode ?? 0));
      }).on("error", reject);
    });
    if (status !== expected) throw new Error(`answered ${status}`);
  }
  return {
    cpu: ((server.cpuSeconds() - cpu) * 1e6) / POLLS,
    time: ((performance.now() - began) * 1000) / POLLS,
  };
}
