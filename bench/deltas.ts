/** The server's cost of a delta of one change, at 10,000 and at 1,000,000 users, beside a 304. */
import { Agent, get } from "node:http";
import { join } from "node:path";
import { createBrotliDecompress } from "node:zlib";
import { seedDatabase } from "../db/sqlite/seed.ts";
import { openStore } from "../db/sqlite/store.ts";
import { wholeView } from "../src/sync/view.ts";
import { call } from "../tools/call/call.ts";
import { operator } from "../tools/call/principal.ts";
import { operatorTools } from "../tools/operator/index.ts";
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
const POLLS = 2_000;
const READS = 2_000;
interface Case {
  users: number;
  server: Program;
  url: string;
  key: string;
  /** Cursors of the state before the change and of the current state. */
  before: string;
  current: string;
  reads: () => number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

await benchmark(async () => {
  const cases = [await prepare(10_000), await prepare(1_000_000)];
  const figures = cases.map(() => ({
    unchanged: [] as number[],
    delta: [] as number[],
    read: [] as number[],
  }));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, each] of cases.entries()) {
      figures[index]?.unchanged.push(await cpuPerPoll(each, each.current, 304));
      figures[index]?.delta.push(await cpuPerPoll(each, each.before, 200));
      figures[index]?.read.push(each.reads());
    }
  }
  printTable(
    ["users", "304 CPU µs", "delta CPU µs", "delta x 304", "reading the delta µs"],
    cases.map(({ users }, index) => {
      const { unchanged = [], delta = [], read = [] } = figures[index] ?? {};
      const ratio = median(delta.map((value, round) => value / (unchanged[round] ?? Number.NaN)));
      return [
        String(users),
        ...[median(unchanged), median(delta)].map((v) => v.toFixed(0)),
        ratio.toFixed(2),
        median(read).toFixed(1),
      ];
    }),
  );
  const at = (index: number, what: "delta" | "read") => median(figures[index]?.[what] ?? []);
  print(
    `delta at 1,000,000 users, x at 10,000: ${(at(1, "delta") / at(0, "delta")).toFixed(2)} (reading alone: ${(at(1, "read") / at(0, "read")).toFixed(2)})`,
  );
});

async function prepare(users: number): Promise<Case> {
  const database = join(temporaryFolder(), "m25-mail.db");
  const passwordHash = `{BLF-CRYPT}$2b$10$${"a".repeat(53)}`;
  await seedDatabase(database, { users, domains: 100, passwordHash, at: now() });
  const [key = ""] = await addNodes(database, 1);
  const server = serve(database);
  const url = await server.url();
  const before = await cursor(`${url}/sync/v1/maps`, key);
  const store = openStore(database, { create: false });
  const { users: rows } = await store.read(async (tables) => ({
    users: await tables.users.page(1, undefined, undefined),
  }));
  const revision = store.polls.now().state(wholeView).revision;
  const input = { email: rows[0]?.email, quota_mb: 77 };
  const outcome = await call(runtimeOf(store), {
    principal: operator("cli"),
    tool: operatorTools.setQuota,
    input,
  });
  if (!outcome.ok) throw outcome.error;
  const current = await cursor(`${url}/sync/v1/maps?since=${before}`, key);
  const reads = () => {
    const polls = store.polls.now();
    const began = performance.now();
    for (let index = 0; index < READS; index += 1) polls.changes(wholeView, revision, 1_000);
    return ((performance.now() - began) / READS) * 1000;
  };
  return { users, server, url, key, before, current, reads };
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

async function cpuPerPoll({ server, url, key }: Case, since: string, expected: number): Promise<number> {
  const began = server.cpuSeconds();
  for (let index = 0; index < POLLS; index += 1) {
    const status = await new Promise<number>((resolve, reject) => {
      const headers = { authorization: `Bearer ${key}` };
      get(`${url}/sync/v1/maps?since=${since}`, { agent, headers }, (response) => {
        response.resume().on("end", () => resolve(response.statusCode ?? 0));
      }).on("error", reject);
    });
    if (status !== expected) throw new Error(`answered ${status}`);
  }
  return ((server.cpuSeconds() - began) * 1e6) / POLLS;
}
