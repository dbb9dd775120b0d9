/** The 304 poll of this checkout beside an earlier one: `node bench/poll-comparison.ts FOLDER`. FOLDER has its node_modules. */
import { join, resolve } from "node:path";
import { benchmark, entryOf, headersOf, median, Program, printTable, temporaryFolder } from "./support.ts";
import { type Load, poll } from "./wrk.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 9);
const SECONDS = 2;
const NODES = 50;

interface Server {
  program: Program;
  url: string;
  keys: string[];
  etag: string;
}

await benchmark(async () => {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error("Name the folder of an earlier checkout.");
  const scratch = temporaryFolder();
  const servers = { before: await start(resolve(folder)), now: await start(".") };
  const loads = { before: [] as Array<Load & { cpu: number }>, now: [] as Array<Load & { cpu: number }> };
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const name of ["before", "now"] as const) {
      const { program, ...server } = servers[name];
      const begin = program.cpuSeconds();
      const load = await poll({ ...server, seconds: SECONDS, folder: scratch });
      const cpu = ((program.cpuSeconds() - begin) / load.requests) * 1e6;
      if (round >= 0) loads[name].push({ ...load, cpu });
    }
  }
  const ratio = (value: (load: Load & { cpu: number }) => number) =>
    median(loads.now.map((load, round) => value(load) / value(loads.before[round] ?? load))).toFixed(2);
  printTable(
    ["poll answered 304", "requests/s", "CPU µs", "p99 ms"],
    [
      ...(["before", "now"] as const).map((name) => [
        name,
        median(loads[name].map(({ requestsPerSecond }) => requestsPerSecond)).toFixed(0),
        median(loads[name].map(({ cpu }) => cpu)).toFixed(1),
        median(loads[name].map(({ p99 }) => p99)).toFixed(2),
      ]),
      [
        "now x before, by round",
        ratio((load) => load.requestsPerSecond),
        ratio(({ cpu }) => cpu),
        ratio(({ p99 }) => p99),
      ],
    ],
  );
});

/** Uses REST only, which both checkouts have. */
async function start(folder: string): Promise<Server> {
  const database = join(temporaryFolder(), "m25-mail.db");
  const program = new Program([entryOf(folder), "serve", "--port", "0", "--db", database]);
  const url = await program.url();
  const headers = headersOf(database);
  const post = async (endpoint: string, body: object) => {
    const answer = await fetch(`${url}/api/${endpoint}`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    if (answer.status !== 200) throw new Error(`${endpoint} was answered ${answer.status}`);
    return (await answer.json()) as { sync_key: string };
  };
  await post("add-domain", { domain: "example.nl" });
  const keys: string[] = [];
  for (let index = 0; index < NODES; index += 1) {
    keys.push((await post("add-node", { name: `node-${index}` })).sync_key);
  }
  const maps = await fetch(`${url}/sync/v1/maps`, { headers: { authorization: `Bearer ${keys[0]}` } });
  await maps.arrayBuffer();
  return { program, url, keys, etag: maps.headers.get("etag") ?? "" };
}
