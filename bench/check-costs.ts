import { openStore } from "../db/sqlite/store.ts";
import {
  addNodes,
  benchmark,
  firstToken,
  median,
  newestTag,
  Program,
  printTable,
  seededDatabase,
  unlimited,
} from "./support.ts";
import { poll } from "./wrk.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 7);
const SECONDS = 3;

/** The cost of credentials, scopes and limits: 304 polls and lists with and without them, in turn. */
await benchmark(async () => {
  const { folder, database } = await seededDatabase({ users: 1000, domains: 5 });
  const [key = ""] = await addNodes(database, 1000);
  const store = openStore(database, { create: false });
  const etag = await newestTag(store);
  await store.close();

  const args = ["--port", "0", "--db", database, ...unlimited];
  const guarded = new Program(["src/program/entry.ts", "serve", ...args]);
  await guarded.url();
  const servers = {
    "m25-mail serve": guarded,
    "without the checks": new Program(["bench/servers/unchecked.ts", key.split("_")[1] ?? "", ...args]),
  };
  const requests = {
    "poll answered 304": { path: "/sync/v1/maps", keys: [key] },
    "GET list-domains": { path: "/api/list-domains", keys: [firstToken(database)] },
  };
  const names = Object.keys(servers) as Array<keyof typeof servers>;
  const kinds = Object.keys(requests) as Array<keyof typeof requests>;
  const cpu = new Map<string, number[]>();
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const kind of kinds) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        const url = await servers[name].url();
        const before = servers[name].cpuSeconds();
        const seconds = round < 0 ? 1 : SECONDS;
        const { requests: count } = await poll({ url, etag, seconds, folder, ...requests[kind] });
        const each = ((servers[name].cpuSeconds() - before) / count) * 1e6;
        if (round >= 0) cpu.set(`${kind} ${name}`, [...(cpu.get(`${kind} ${name}`) ?? []), each]);
      }
    }
  }
  printTable(
    ["CPU of the server", "µs a request", "µs without the checks", "x, by round"],
    kinds.map((kind) => {
      const [own = [], bare = []] = names.map((name) => cpu.get(`${kind} ${name}`) ?? []);
      const ratio = median(own.map((each, round) => each / (bare[round] ?? 0)));
      return [kind, median(own).toFixed(1), median(bare).toFixed(1), ratio.toFixed(2)];
    }),
  );
});
