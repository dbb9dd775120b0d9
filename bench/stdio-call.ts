import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { shippedProgram } from "./stdio.ts";
import { benchmark, median, printTable, quantile, seededDatabase } from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 20);
const CALLS = 300;

/** Calls by the SDK's client over stdio, one at a time: list_domains with ten domains and an empty tool, in turn. */
await benchmark(async () => {
  const { database } = await seededDatabase({ users: 100, domains: 10 });
  const cases = [
    { name: "SDK, empty tool", tool: "empty", args: ["bench/servers/empty-tool.ts"] },
    {
      name: "m25_mail_list_domains, 10 domains",
      tool: "m25_mail_list_domains",
      args: [shippedProgram(), "stdio", "--db", database],
    },
  ];
  const clients = new Map<string, Client>();
  for (const { name, args } of cases) {
    const client = new Client({ name: "bench", version: "1" });
    await client.connect(
      new StdioClientTransport({
        command: process.execPath,
        args: ["--no-warnings", ...args],
        stderr: "ignore",
      }),
    );
    await client.listTools();
    clients.set(name, client);
  }
  const times = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
  for (let round = -3; round < ROUNDS; round += 1) {
    for (const { name, tool } of cases) {
      const own: number[] = [];
      for (let call = 0; call < CALLS; call += 1) {
        const begin = performance.now();
        const result = await clients.get(name)?.callTool({ name: tool, arguments: {} });
        own.push((performance.now() - begin) * 1000);
        if (result === undefined || result.isError === true) throw new Error(`${tool} was refused`);
      }
      if (round >= 0) times.get(name)?.push(median(own));
    }
  }
  for (const client of clients.values()) await client.close();
  const base = times.get("SDK, empty tool") ?? [];
  printTable(
    ["one at a time over stdio", "median µs", "x empty tool", "calls/s", "slowest round µs"],
    [...times].map(([name, own]) => [
      name,
      median(own).toFixed(0),
      median(own.map((took, round) => took / (base[round] ?? 0))).toFixed(2),
      (1e6 / median(own)).toFixed(0),
      quantile(own, 1).toFixed(0),
    ]),
  );
});
