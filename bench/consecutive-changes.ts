/** Changes one after another while a thousand nodes wait: answers, processor time, and the time of a change. */
import {
  addNodes,
  benchmark,
  measuredServer,
  median,
  type Program,
  printTable,
  seededDatabase,
  someHash,
  waitingNodes,
} from "./support.ts";

const NODES = Number(process.env.NODES ?? 1_000);
const CHANGES = Number(process.env.CHANGES ?? 500);

await benchmark(async () => {
  const { folder, database } = await seededDatabase({ users: 10_000, domains: 100, passwordHash: someHash });
  const keys = await addNodes(database, NODES);
  const server = measuredServer(database);
  const nodes = await waitingNodes(await server.url(), folder, keys);

  const alone = await changes(server);
  await nodes.ask("follow");
  // The program answers after all earlier requests.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const before = await nodes.ask<number>("followed");
  const busy = server.cpuSeconds();
  const beside = await changes(server);
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  printTable(
    [
      `${CHANGES} changes, ${NODES} nodes`,
      "answers",
      "server CPU s",
      "a change alone, median ms",
      "beside nodes, median ms",
      "x",
    ],
    [
      [
        "",
        String((await nodes.ask<number>("followed")) - before),
        (server.cpuSeconds() - busy).toFixed(1),
        alone.toFixed(1),
        beside.toFixed(1),
        (beside / alone).toFixed(1),
      ],
    ],
  );
});

/** The median time of a change, in ms. */
async function changes(server: Program): Promise<number> {
  const times: number[] = [];
  for (let change = 0; change < CHANGES; change += 1) {
    const began = performance.now();
    await server.ask("change");
    times.push(performance.now() - began);
  }
  return median(times);
}
