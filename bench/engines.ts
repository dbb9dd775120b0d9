/** SQLite and PostgreSQL side by side, on the same data: changes, polls, pages, a snapshot; and a node's wake at another server. */
import { openDatabase } from "../db/open.ts";
import type { Store } from "../db/store.ts";
import { wholeView } from "../src/sync/view.ts";
import { addUser } from "../tools/add-user.ts";
import { call } from "../tools/call/call.ts";
import { operator } from "../tools/call/principal.ts";
import { copyToPostgresql } from "./cluster.ts";
import {
  addNodes,
  benchmark,
  cursorIn,
  median,
  newestTag,
  printTable,
  quantile,
  runtimeOf,
  seededDatabase,
  serve,
  someHash,
  temporaryFolder,
} from "./support.ts";
import { poll } from "./wrk.ts";

const USERS = Number(process.env.USERS ?? 1_000_000);
const SECONDS = Number(process.env.SECONDS ?? 5);
const WAKES = Number(process.env.WAKES ?? 200);
const DOMAINS = 10;
const PAGES = 100;
/** ms, longer than the rest of src/doors/sync/wake-throttle.ts after an answer. */
const REST = 400;

let added = 0;

await benchmark(async () => {
  const { folder, database } = await seededDatabase({
    users: USERS,
    domains: DOMAINS,
    passwordHash: someHash,
  });
  const keys = await addNodes(database, 100);
  const { address } = await copyToPostgresql(database);
  const databases = { SQLite: database, PostgreSQL: address };
  const figures: Record<string, string[]> = {};
  for (const [name, where] of Object.entries(databases)) {
    const store = await openDatabase(where, { create: false });
    figures[name] = [
      (await changes(store, 1)).toFixed(0),
      (await changes(store, 8)).toFixed(0),
      await pages(store),
      ((await snapshot(store)) / 1000).toFixed(2),
      (await polls(store, where, keys, folder)).toFixed(0),
    ];
    await store.close();
  }
  printTable(
    ["", "add_user/s, 1 client", "8 clients", "page of 100, ms (longest)", "snapshot, s", "304 polls/s"],
    Object.entries(figures).map(([name, cells]) => [name, ...cells]),
  );
  const wakes = await wake(address, keys);
  printTable(
    ["a node's wake at the other server", "p50 ms", "p99 ms", "max ms"],
    [["", ...[0.5, 0.99, 1].map((q) => quantile(wakes, q).toFixed(1))]],
  );
});

/** Mailboxes added a second, with a hash that costs nothing. */
async function changes(store: Store, clients: number): Promise<number> {
  const runtime = { ...runtimeOf(store), hashPassword: async () => someHash() };
  const names = await domainsOf(store);
  const end = performance.now() + SECONDS * 1000;
  let done = 0;
  const client = async () => {
    while (performance.now() < end) {
      added += 1;
      const input = { email: `new${added}@${names[added % DOMAINS]}`, password: "correct horse battery" };
      const outcome = await call(runtime, { principal: operator("cli"), tool: addUser, input });
      if (!outcome.ok) throw outcome.error;
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return done / SECONDS;
}

/** The median and the longest ms of a page of 100, at places from a domain's first mailbox to its last. */
async function pages(store: Store): Promise<string> {
  const times: number[] = [];
  const names = await domainsOf(store);
  for (let page = 0; page <= PAGES; page += 1) {
    const mailbox = Math.round((page / PAGES) * (USERS / DOMAINS));
    const localPart = `user${String(mailbox).padStart(String(USERS).length, "0")}`;
    const after = { domain: names[page % DOMAINS] ?? "", localPart };
    const began = performance.now();
    await store.read(({ users }) => users.page(100, undefined, after));
    times.push(performance.now() - began);
  }
  return `${median(times).toFixed(1)} (${quantile(times, 1).toFixed(1)})`;
}

/** ms to read all records. */
async function snapshot(store: Store): Promise<number> {
  const began = performance.now();
  const reader = await store.readState(wholeView);
  for await (const _ of reader.pages());
  await reader.close();
  return performance.now() - began;
}

/** Polls a second that are answered 304. */
async function polls(store: Store, where: string, keys: readonly string[], folder: string): Promise<number> {
  const server = serve(where, "--folder", temporaryFolder(), "--trusted-proxies", "127.0.0.1");
  const load = { url: await server.url(), keys, etag: await newestTag(store), folder };
  await poll({ ...load, seconds: 1 });
  const rounds = [];
  for (let round = 0; round < 3; round += 1) {
    rounds.push((await poll({ ...load, seconds: SECONDS })).requestsPerSecond);
  }
  await server.end();
  return median(rounds);
}

/**
 * ms from a change's commit at one server until a node that waits at the other has its answer. Another node fetches everything before:
 * a million mailboxes reach the limit on one node's bytes.
 */
async function wake(address: string, [first, waiter]: readonly string[]): Promise<number[]> {
  const server = serve(address, "--folder", temporaryFolder());
  const url = await server.url();
  const store = await openDatabase(address, { create: false });
  const runtime = { ...runtimeOf(store), hashPassword: async () => someHash() };
  const headers = { authorization: `Bearer ${waiter}` };
  const [domain] = await domainsOf(store);
  const maps = `${url}/sync/v1/maps`;
  let cursor = await cursorOf(await fetch(maps, { headers: { authorization: `Bearer ${first}` } }));
  const times: number[] = [];
  for (let n = 0; n < WAKES; n += 1) {
    const waiting = fetch(`${maps}?since=${cursor}`, {
      headers: { ...headers, prefer: "wait=55" },
    });
    await new Promise((resolve) => setTimeout(resolve, REST)); // it waits by then, and changes in a row are over
    const email = `wake${n}@${domain}`;
    const input = { email, password: "correct horse battery" };
    const outcome = await call(runtime, { principal: operator("cli"), tool: addUser, input });
    if (!outcome.ok) throw outcome.error;
    const committed = performance.now();
    const answer = await waiting;
    times.push(performance.now() - committed);
    cursor = await cursorOf(answer);
  }
  await store.close();
  await server.end();
  return times;
}

async function domainsOf(store: Store): Promise<string[]> {
  const found = await store.read(({ domains }) => domains.page(DOMAINS));
  return found.map(({ name }) => name);
}

async function cursorOf(answer: Response): Promise<string> {
  const cursor = cursorIn(await answer.text());
  if (cursor === undefined) throw new Error(`no maps: ${answer.status}`);
  return cursor;
}
