/** Ten thousand waiting nodes: their cost while nothing happens, and the time of one change to reach all. */
import { readFileSync } from "node:fs";
import type { Woken } from "./servers/waiting-nodes.ts";
import {
  addNodes,
  benchmark,
  measuredServer,
  type Program,
  printTable,
  seededDatabase,
  someHash,
  waitingNodes,
} from "./support.ts";

const NODES = Number(process.env.NODES ?? 10_000);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
/** The flags of deploy/m25-mail, and those that the benchmark needs. */
const NODE_FLAGS = ["--max-semi-space-size=2", "--expose-gc"];
/** Seconds to watch the idle server. Fewer than 55, when waits end. */
const IDLE = 10;

await benchmark(async () => {
  const { folder, database } = await seededDatabase({ users: 10_000, domains: 100, passwordHash: someHash });
  const keys = await addNodes(database, NODES);
  const server = measuredServer(database, ...NODE_FLAGS);
  const nodes = await waitingNodes(await server.url(), folder, keys);

  const settledMemory = async () => {
    await settled(server);
    await server.ask("collect garbage");
    return memory(server);
  };
  const alone = await settledMemory();
  // The first half also pays one-time costs: compiled code, space for short-lived objects.
  await nodes.ask("connect half");
  await nodes.ask("wait half");
  const half = await settledMemory();
  await server.ask("change");
  await nodes.ask("woken");
  // The other nodes do not have that change yet.
  await nodes.ask("connect all");
  await nodes.ask("wait rest");
  await nodes.ask("woken");
  const rows: string[][] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    await nodes.ask("wait all");
    const waiting = await settledMemory();
    const before = server.cpuSeconds();
    await new Promise((resolve) => setTimeout(resolve, IDLE * 1000));
    const idle = ((server.cpuSeconds() - before) / IDLE) * 100;
    const busy = server.cpuSeconds();
    const began = Date.now();
    await server.ask("change");
    const { answers, first, last } = await nodes.ask<Woken>("woken");
    if (answers["200 delta"] !== NODES) throw new Error(`not all were woken: ${JSON.stringify(answers)}`);
    rows.push([
      String(round),
      ((half - alone) / (NODES / 2)).toFixed(1),
      ((waiting - alone) / NODES).toFixed(1),
      ((waiting - half) / (NODES / 2)).toFixed(1),
      idle.toFixed(1),
      String(first - began),
      String(last - began),
      (server.cpuSeconds() - busy).toFixed(2),
    ]);
  }
  printTable(
    [
      `${NODES} waiting nodes`,
      "KB each, of half of them",
      "KB each, of all",
      "KB for each more",
      "idle CPU %",
      "first woken ms",
      "last woken ms",
      "server CPU s",
    ],
    rows,
  );
});

/** Resident memory of the process in KB. */
function memory({ child }: Program): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]);
}

/** Waits until the server is idle: half a second without work. */
async function settled(server: Program): Promise<void> {
  for (let quiet = 0; quiet < 5; ) {
    const before = server.cpuSeconds();
    await new Promise((resolve) => setTimeout(resolve, 100));
    quiet = server.cpuSeconds() - before > 0.01 ? 0 : quiet + 1;
  }
}
