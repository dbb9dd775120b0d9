/** A ready snapshot sent to a fast reader, beside NSD's AXFR of as many records. The clients do not parse. */
import { get } from "node:http";
import { startNsd, transfer } from "./nsd.ts";
import type { Watch } from "./servers/product.ts";
import {
  addNodes,
  benchmark,
  cleanup,
  measuredServer,
  median,
  printTable,
  seededDatabase,
  someHash,
  temporaryFolder,
} from "./support.ts";

const USERS = Number(process.env.USERS ?? 1_000_000);
const ROUNDS = Number(process.env.ROUNDS ?? 9);

interface Round {
  ms: number;
  stall?: number;
  work?: number;
  mb?: number;
}

await benchmark(async () => {
  const nsd = await startNsd(temporaryFolder(), USERS);
  cleanup(nsd.stop);
  const { database } = await seededDatabase({ users: USERS, domains: 1000, passwordHash: someHash });
  const [key = ""] = await addNodes(database, 1);
  const server = measuredServer(database);
  const url = await server.url();
  await readMaps(url, key, "br"); // the first read waits for the build

  const snapshot = (encoding: "br" | "identity") => async (): Promise<Round> => {
    await server.ask("watch");
    const begin = performance.now();
    const bytes = await readMaps(url, key, encoding);
    const ms = performance.now() - begin;
    const { timerStall, work } = await server.ask<Watch>("report");
    return { ms, stall: timerStall, work, mb: bytes / 1e6 };
  };
  const cases: Record<string, () => Promise<Round>> = {
    "NSD, AXFR": async () => {
      const begin = performance.now();
      const records = await transfer(nsd.port);
      if (records < USERS) throw new Error(`NSD sent ${records} records`);
      return { ms: performance.now() - begin };
    },
    "m25-mail, Accept-Encoding: br": snapshot("br"),
    "m25-mail, plain": snapshot("identity"),
  };
  const rounds = new Map<string, Round[]>(Object.keys(cases).map((name) => [name, []]));
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [name, run] of Object.entries(cases)) {
      const took = await run();
      if (round >= 0) rounds.get(name)?.push(took);
    }
  }
  const base = rounds.get("NSD, AXFR") ?? [];
  printTable(
    [`${USERS} records`, "median ms", "x NSD", "MB", "longest stall ms", "median stall ms", "most work ms"],
    [...rounds].map(([name, own]) => {
      const of = (value: (round: Round) => number | undefined) =>
        own.map((round) => value(round) ?? Number.NaN);
      const stalls = of(({ stall }) => stall);
      const shown = (value: number, digits = 1) => (Number.isNaN(value) ? "" : value.toFixed(digits));
      return [
        name,
        median(of(({ ms }) => ms)).toFixed(0),
        median(own.map(({ ms }, round) => ms / (base[round]?.ms ?? Number.NaN))).toFixed(2),
        shown(median(of(({ mb }) => mb)), 0),
        shown(Math.max(...stalls)),
        shown(median(stalls)),
        shown(Math.max(...of(({ work }) => work))),
      ];
    }),
  );
});

/** @returns the size of the body in bytes */
function readMaps(url: string, key: string, encoding: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${key}`, "accept-encoding": encoding };
    get(`${url}/sync/v1/maps`, { headers }, (response) => {
      if (response.statusCode !== 200) return reject(new Error(`answered ${response.statusCode}`));
      let bytes = 0;
      response.on("data", (piece: Buffer) => {
        bytes += piece.length;
      });
      response.on("end", () => (response.complete ? resolve(bytes) : reject(new Error("cut off"))));
      return undefined;
    }).on("error", reject);
  });
}
