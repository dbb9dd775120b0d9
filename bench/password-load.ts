import {
  addNodes,
  benchmark,
  headersOf,
  median,
  printTable,
  quantile,
  seededDatabase,
  serve,
  unlimited,
} from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const CHANGES = 200;
const NODES = 10;
/** Number of nodes. Each asks for a snapshot after each change, and the server gives one key 30 a minute. */
const KEYS_EACH = 100;
/** ms between two polls of one node. */
const PAUSE = 5;

/** Time of polls while 200 passwords are set at once, and how many of these are set. */
await benchmark(async () => {
  const { database } = await seededDatabase({ users: 1000, domains: 1 });
  const keys = await addNodes(database, NODES * KEYS_EACH);
  const server = serve(database, ...unlimited);
  const url = await server.url();
  const headers = headersOf(database);
  const listed = await fetch(`${url}/api/list-users?limit=${CHANGES}`, { headers });
  const { users } = (await listed.json()) as { users: Array<{ email: string }> };

  const rows: string[][] = [];
  const p99s: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    let done = false;
    const times: number[] = [];
    const polling = Array.from({ length: NODES }, async (_, node) => {
      let etag = "";
      let polls = 0;
      while (!done) {
        const key = keys[node * KEYS_EACH + (polls % KEYS_EACH)];
        polls += 1;
        const begin = performance.now();
        const poll = { headers: { authorization: `Bearer ${key}`, "if-none-match": etag } };
        const answer = await fetch(`${url}/sync/v1/maps`, poll);
        await answer.arrayBuffer();
        if (answer.status !== 200 && answer.status !== 304) throw new Error(`a poll got ${answer.status}`);
        if (etag !== "") times.push(performance.now() - begin);
        etag = answer.headers.get("etag") ?? "";
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    });
    const statuses = await Promise.all(
      users.map(async ({ email }) => {
        const body = JSON.stringify({ email, password: "a password of somebody" });
        const answer = await fetch(`${url}/api/update-password`, { method: "POST", headers, body });
        await answer.arrayBuffer();
        return answer.status;
      }),
    );
    done = true;
    await Promise.all(polling);
    const count = (status: number) => String(statuses.filter((each) => each === status).length);
    const p99 = quantile(times, 0.99);
    p99s.push(p99);
    const figures = [quantile(times, 0.5), p99, Math.max(...times)].map((ms) => ms.toFixed(1));
    rows.push([`round ${round + 1}`, count(200), count(429), String(times.length), ...figures]);
  }
  printTable(
    ["200 passwords at once", "set", "busy", "polls", "p50 ms", "p99 ms", "max ms"],
    [...rows, ["median", "", "", "", "", median(p99s).toFixed(1), ""]],
  );
});
