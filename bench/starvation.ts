/** Waiting times of other callers while one principal overloads the server: `starvation.ts [FOLDER]`, an earlier checkout. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { openStore } from "../db/sqlite/store.ts";
import { call } from "../tools/call/call.ts";
import { operator } from "../tools/call/principal.ts";
import type { Tool } from "../tools/call/tool.ts";
import { listUsers } from "../tools/list-users.ts";
import { setUser } from "../tools/sets/people/set-user.ts";
import type { Overload } from "./servers/overload.ts";
import {
  addNodes,
  benchmark,
  createToken,
  cursorIn,
  entryOf,
  median,
  Program,
  printTable,
  quantile,
  runtimeOf,
  seededDatabase,
  temporaryFolder,
  unlimited,
} from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 3);
const SECONDS = Number(process.env.SECONDS ?? 5);
const USERS = Number(process.env.USERS ?? 100_000);
/** Changes that a large delta brings. */
const CHANGES = 3000;
/** ms between two requests of one of the other callers. */
const PAUSE = 5;
/** ms after which a caller gives up. A refusal counts as much. */
const PATIENCE = 30_000;

const ways = ["nothing", "lists", "polls", "snapshots", "deltas", "passwords"] as const;
type Way = (typeof ways)[number];
const callers = ["healthz", "poll", "list", "password"] as const;
type Caller = (typeof callers)[number];

await benchmark(async () => {
  const [earlier = "."] = process.argv.slice(2);
  const { server, overload, token, key, url } = await start(resolve(earlier));
  const file = join(temporaryFolder(), "overload");
  writeFileSync(file, JSON.stringify(overload), { mode: 0o600 });
  const overloader = new Program(["bench/servers/overload.ts", file], { ipc: true });
  await overloader.until(/ready: (yes)/);

  const requests = otherRequests(url, { token, key, email: overload.emails.at(-1) ?? "" });
  const p99s = new Map<string, number[]>();
  const peaks = new Map<Way, number[]>();
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const way of ways) {
      writeFileSync(`/proc/${server.child.pid}/clear_refs`, "5");
      if (way !== "nothing") overloader.child.send(way);
      const times = new Map<Caller, number[]>();
      for (const together of [callers.filter((caller) => caller !== "password"), ["password"] as const]) {
        const until = performance.now() + SECONDS * 1000;
        const measure = async (caller: Caller) => times.set(caller, await timesOf(requests[caller], until));
        await Promise.all(together.filter((caller) => !isLeftOut(way, caller)).map(measure));
      }
      const answers = way === "nothing" ? {} : await overloader.ask<Record<string, number>>("stop");
      if (round < 0) continue;
      note(peaks, way, peak(server));
      for (const [caller, its] of times) note(p99s, `${way} ${caller}`, quantile(its, 0.99));
      process.stderr.write(`round ${round + 1}, ${way}: ${JSON.stringify(answers)}\n`);
    }
  }
  const p99 = (way: Way, caller: Caller) => median(p99s.get(`${way} ${caller}`) ?? []);
  printTable(
    ["p99 in ms while one does", ...callers, "peak MB"],
    ways.map((way) => [
      way,
      ...callers.map((caller) => (isLeftOut(way, caller) ? "" : p99(way, caller).toFixed(0))),
      median(peaks.get(way) ?? []).toFixed(0),
    ]),
  );
});

function note<Key>(values: Map<Key, number[]>, key: Key, value: number): void {
  values.set(key, [...(values.get(key) ?? []), value]);
}

/** A change would make the pipelined polls more than 304s. */
function isLeftOut(way: Way, caller: Caller): boolean {
  return way === "polls" && caller === "password";
}

/** The other callers' requests. Each throws if it is refused. */
function otherRequests(
  url: string,
  { token, key, email }: Record<"token" | "key" | "email", string>,
): Record<Caller, () => Promise<unknown>> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const body = JSON.stringify({ email, password: "a password of somebody" });
  const ask = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`${url}${path}`, { ...init, signal: AbortSignal.timeout(PATIENCE) });
    const text = await answer.text();
    if (!answer.ok && answer.status !== 304) throw new Error(`${path} was answered ${answer.status}`);
    return text;
  };
  let since = "";
  return {
    healthz: () => ask("/healthz"),
    poll: async () => {
      const text = await ask(`/sync/v1/maps${since}`, { headers: { authorization: `Bearer ${key}` } });
      const cursor = cursorIn(text);
      if (cursor !== undefined) since = `?since=${cursor}`;
    },
    list: () => ask("/api/list-domains", { headers }),
    password: () => ask("/api/update-password", { method: "POST", headers, body }),
  };
}

/** The time of each request, one after another, in ms. */
async function timesOf(request: () => Promise<unknown>, until: number): Promise<number[]> {
  const times: number[] = [];
  while (performance.now() < until) {
    const begin = performance.now();
    try {
      await request();
      times.push(performance.now() - begin);
    } catch {
      times.push(PATIENCE);
    }
    await pause(PAUSE);
  }
  return times;
}

/** The server's peak memory since its counter was cleared, in MB. */
function peak({ child }: Program): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Gives mailboxes another quota, so that the delta from before is large. */
async function changeQuotas(database: string): Promise<void> {
  const store = openStore(database, { create: false });
  const run = async (tool: Tool, input: unknown) => {
    const done = await call(runtimeOf(store), { principal: operator("cli"), tool, input });
    if (!done.ok) throw done.error;
    return done.value;
  };
  let changed = 0;
  let cursor: unknown;
  while (changed < CHANGES) {
    const page = await run(listUsers, { limit: 1000, cursor });
    cursor = page.next_cursor;
    for (const { email } of page.users as Array<{ email: string }>) {
      await run(setUser, { email, quota_mb: 2048 });
      changed += 1;
    }
  }
  await store.close();
}

async function start(folder: string) {
  const { database } = await seededDatabase({ users: USERS, domains: 10 });
  const [key = "", overloadKey = ""] = await addNodes(database, 2);
  const store = openStore(database, { create: false });
  const token = await createToken(store, "other");
  const overloadToken = await createToken(store, "overload");
  await store.close();
  const args = ["serve", "--port", "0", "--db", database, ...unlimited];
  const server = new Program([entryOf(folder), ...args]);
  const url = await server.url();
  const answer = await fetch(`${url}/api/list-users?limit=200`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const { users } = (await answer.json()) as { users: Array<{ email: string }> };
  const emails = users.map(({ email }) => email);
  const maps = await fetch(`${url}/sync/v1/maps`, { headers: { authorization: `Bearer ${overloadKey}` } });
  const cursor = cursorIn(await maps.text()) ?? "";
  await changeQuotas(database);
  const overload: Overload = { url, token: overloadToken, key: overloadKey, cursor, emails };
  return { server, overload, token, key, url };
}
