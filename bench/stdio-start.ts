import { dirname, join, resolve } from "node:path";
import { StdioServer, shippedProgram } from "./stdio.ts";
import { benchmark, median, peerRequire, print, printTable, quantile, temporaryFolder } from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 25);

/**
 * Time from process start to the answer to `initialize`, over stdio, in turn, and the size of tools/list. With a built earlier
 * checkout beside this one: `node bench/stdio-start.ts FOLDER`.
 */
await benchmark(async () => {
  const folder = temporaryFolder();
  const [earlier] = process.argv.slice(2);
  const stdio = (program: string, name: string) => [program, "stdio", "--db", join(folder, `${name}.db`)];
  const peer = peerRequire.resolve("@modelcontextprotocol/server-filesystem/package.json");
  const programs: Record<string, string[]> = {
    "server-filesystem": [join(dirname(peer), "dist/index.js"), folder],
    "m25-mail stdio": stdio(shippedProgram(), "now"),
    ...(earlier && { "the earlier checkout": stdio(join(resolve(earlier), "dist/m25-mail.js"), "before") }),
  };
  const times = new Map<string, number[]>(Object.keys(programs).map((name) => [name, []]));
  const cpuSeconds = new Map<string, number>();
  const sizes = new Map<string, number>();
  // The first rounds make the databases and fill the caches.
  for (let round = -3; round < ROUNDS; round += 1) {
    for (const [name, args] of Object.entries(programs)) {
      const server = new StdioServer(args);
      const took = await server.started;
      const cpu = server.program.cpuSeconds();
      if (round === -1) sizes.set(name, JSON.stringify(await server.request("tools/list", {})).length);
      await server.program.end();
      if (round < 0) continue;
      times.get(name)?.push(took);
      cpuSeconds.set(name, (cpuSeconds.get(name) ?? 0) + cpu);
    }
  }
  const base = times.get("server-filesystem") ?? [];
  printTable(
    [
      "spawn to initialize answer",
      "median ms",
      "x server-filesystem",
      "fastest ms",
      "mean CPU ms",
      "tools/list bytes",
    ],
    [...times].map(([name, own]) => [
      name,
      median(own).toFixed(0),
      median(own.map((took, round) => took / (base[round] ?? 0))).toFixed(2),
      quantile(own, 0).toFixed(0),
      (((cpuSeconds.get(name) ?? 0) / ROUNDS) * 1000).toFixed(0),
      String(sizes.get(name)),
    ]),
  );
  const [now = [], before] = [times.get("m25-mail stdio"), times.get("the earlier checkout")];
  if (before !== undefined)
    print(`now x before: ${median(now.map((took, round) => took / (before[round] ?? 0))).toFixed(2)}`);
});
