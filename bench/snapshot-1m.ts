import { join } from "node:path";
import { seedDatabase } from "../db/sqlite/seed.ts";
import type { Watch } from "./servers/product.ts";
import {
  addNodes,
  benchmark,
  measuredServer,
  now,
  printTable,
  someHash,
  temporaryFolder,
} from "./support.ts";
import { poll } from "./wrk.ts";

const USERS = Number(process.env.USERS ?? 1_000_000);
const DOMAINS = 1000;
const ROUNDS = Number(process.env.ROUNDS ?? 5);
/** Long enough for polls during the whole rebuild. */
const SECONDS = Number(process.env.SECONDS ?? 4);

/** A rebuild of the snapshot while 16 connections poll, 400 times a second in total. */
await benchmark(async () => {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  await seedDatabase(database, { users: USERS, domains: DOMAINS, passwordHash: someHash, at: now() });
  const keys = await addNodes(database, 100);
  const server = measuredServer(database);
  const url = await server.url();
  const polling = { url, keys, seconds: SECONDS, connections: 16, pause: 40, folder };

  const rows: string[][] = [];
  for (let round = 0; round <= ROUNDS + 1; round += 1) {
    const etag = await server.ask<string>("change");
    await server.ask("watch");
    const polls = poll({ ...polling, etag });
    // The first and last rounds measure the same without a rebuild.
    const idle = round % (ROUNDS + 1) === 0;
    const build = idle ? undefined : await fetchMaps(url, keys[0] ?? "");
    const load = await polls;
    const seen = await server.ask<Watch>("report");
    rows.push([
      idle ? "no rebuild" : `rebuild ${round}`,
      build?.toFixed(0) ?? "",
      seen.timerStall.toFixed(1),
      seen.echoStall.toFixed(1),
      seen.work.toFixed(1),
      (seen.rssPeak - seen.rssBefore).toFixed(0),
      seen.rssPeak.toFixed(0),
      load.p50.toFixed(2),
      load.p99.toFixed(2),
      load.max.toFixed(1),
    ]);
  }
  printTable(
    [
      `${USERS} users`,
      "build ms",
      "timer stall ms",
      "echo stall ms",
      "most work ms",
      "added MB",
      "peak MB",
      "polls p50",
      "p99",
      "max ms",
    ],
    rows,
  );
});

/** @returns ms until the maps were ready: the header is sent when all of them are built */
async function fetchMaps(url: string, key: string): Promise<number> {
  const before = performance.now();
  const headers = { authorization: `Bearer ${key}`, "accept-encoding": "br" };
  const response = await fetch(`${url}/sync/v1/maps`, { headers });
  const took = performance.now() - before;
  if (response.status !== 200) throw new Error(`maps were answered ${response.status}`);
  await response.body?.cancel();
  return took;
}
