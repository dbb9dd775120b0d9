import { openStore } from "../db/sqlite/store.ts";
import {
  addNodes,
  benchmark,
  median,
  newestTag,
  Program,
  printTable,
  seededDatabase,
  serve,
} from "./support.ts";
import { type Load, poll } from "./wrk.ts";

const NODES = 5000;
const ROUNDS = Number(process.env.ROUNDS ?? 9);
const SECONDS = 3;

/** 304 polls with the contact recorded: the product, a bare node:http server and Express 5, in turn. */
await benchmark(async () => {
  const { folder, database } = await seededDatabase({ users: 10_000, domains: 100 });
  const keys = await addNodes(database, NODES);
  const store = openStore(database, { create: false });
  const etag = await newestTag(store);
  await store.close();

  const servers = {
    "bare node:http": new Program(["bench/servers/bare.ts", etag]),
    "m25-mail serve": serve(database),
    "Express 5": new Program(["bench/servers/express.ts", database]),
  };
  const names = Object.keys(servers) as Array<keyof typeof servers>;
  const loads = new Map<string, Array<Load & { cpu: number }>>(names.map((name) => [name, []]));
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const name of names) {
      const server = servers[name];
      const url = await server.url();
      const before = server.cpuSeconds();
      const load = await poll({ url, keys, etag, seconds: round < 0 ? 1 : SECONDS, folder });
      const cpu = ((server.cpuSeconds() - before) / load.requests) * 1e6;
      if (round >= 0) loads.get(name)?.push({ ...load, cpu });
    }
  }

  const bare = loads.get("bare node:http") ?? [];
  printTable(
    ["poll answered 304", "requests/s", "x bare, by round", "CPU µs", "p50 ms", "p99 ms"],
    names.map((name) => {
      const own = loads.get(name) ?? [];
      const of = (value: (load: Load & { cpu: number }) => number) => median(own.map(value));
      const ratio = median(
        own.map((load, round) => load.requestsPerSecond / (bare[round]?.requestsPerSecond ?? 0)),
      );
      return [
        name,
        of((load) => load.requestsPerSecond).toFixed(0),
        ratio.toFixed(2),
        of((load) => load.cpu).toFixed(1),
        of((load) => load.p50).toFixed(2),
        of((load) => load.p99).toFixed(2),
      ];
    }),
  );
});
