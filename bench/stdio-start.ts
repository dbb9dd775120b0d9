import { dirname, join } from "node:path";
import { openStore } from "../db/sqlite/store.ts";
import { StdioServer, shippedProgram } from "./stdio.ts";
import { benchmark, median, peerRequire, printTable, quantile, temporaryFolder } from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 25);

/** Time from process start to the answer to `initialize`, over stdio, in turn. */
await benchmark(async () => {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  await openStore(database, { create: true }).close();
  const peer = peerRequire.resolve("@modelcontextprotocol/server-filesystem/package.json");
  const programs: Record<string, string[]> = {
    "server-filesystem": [join(dirname(peer), "dist/index.js"), folder],
    "m25-mail stdio": [shippedProgram(), "stdio", "--db", database],
  };
  const times = new Map<string, number[]>(Object.keys(programs).map((name) => [name, []]));
  for (let round = -3; round < ROUNDS; round += 1) {
    for (const [name, args] of Object.entries(programs)) {
      const server = new StdioServer(args);
      const took = await server.started;
      await server.program.end();
      if (round >= 0) times.get(name)?.push(took);
    }
  }
  const base = times.get("server-filesystem") ?? [];
  printTable(
    ["spawn to initialize answer", "median ms", "x server-filesystem", "fastest ms"],
    [...times].map(([name, own]) => [
      name,
      median(own).toFixed(0),
      median(own.map((took, round) => took / (base[round] ?? 0))).toFixed(2),
      quantile(own, 0).toFixed(0),
    ]),
  );
});
