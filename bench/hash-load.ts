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

const ROUNDS = Number(process.env.ROUNDS ?? 6);
const SECONDS = 5;
/** ms between two calls of one caller. */
const PAUSE = 5;

interface Result {
  who: string;
  calls: number;
  p50: number;
  p99: number;
}

/** Waiting times of other callers over HTTP while eight callers add mailboxes as fast as they can, and without them. */
await benchmark(async () => {
  const { database } = await seededDatabase({ users: 1000, domains: 10 });
  const keys = await addNodes(database, 100);
  const server = serve(database, ...unlimited);
  const url = await server.url();
  const headers = headersOf(database);

  let added = 0;
  let etag = "";
  let polls = 0;
  const callers: Record<string, () => Promise<Response>> = {
    add_user() {
      added += 1;
      const user = { email: `added${added}@domain01.example`, password: "a password of somebody" };
      return fetch(`${url}/api/add-user`, { method: "POST", headers, body: JSON.stringify(user) });
    },
    list_domains: () => fetch(`${url}/api/list-domains`, { headers }),
    async poll() {
      // One key gets 30 snapshots a minute.
      polls += 1;
      const key = keys[polls % keys.length];
      const response = await fetch(`${url}/sync/v1/maps`, {
        headers: { authorization: `Bearer ${key}`, "if-none-match": etag },
      });
      etag = response.headers.get("etag") ?? "";
      return response;
    },
  };

  /** ms of each call, by name. Polls with new maps (of a thousand users) are apart from 304 polls. */
  async function time(who: string, seconds: number): Promise<Map<string, number[]>> {
    const times = new Map<string, number[]>();
    const until = performance.now() + seconds * 1000;
    while (performance.now() < until) {
      const begin = performance.now();
      const response = await callers[who]?.();
      const text = await response?.text();
      const name = who === "poll" ? `poll answered ${response?.status}` : who;
      times.set(name, [...(times.get(name) ?? []), performance.now() - begin]);
      if (response?.status !== 200 && response?.status !== 304) throw new Error(`${who}: ${text}`);
      if (who !== "add_user") await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    return times;
  }

  const results: Result[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const writers of [0, 8]) {
      const seconds = round < 0 ? 1 : SECONDS;
      const adding = Array.from({ length: writers }, () => time("add_user", seconds));
      const others = [time("list_domains", seconds), time("poll", seconds)];
      const all = (await Promise.all([...others, ...adding])).flatMap((calls) => [...calls]);
      if (round < 0) continue;
      for (const [name, calls] of Map.groupBy(all, ([who]) => who)) {
        const times = calls.flatMap(([, own]) => own);
        const who = `${name}, ${writers === 0 ? "nobody adds" : "8 add"}`;
        results.push({ who, calls: times.length / SECONDS, p50: median(times), p99: quantile(times, 0.99) });
      }
    }
  }
  printTable(
    ["over HTTP, medians of rounds", "calls/s", "p50 ms", "p99 ms", "p99, worst round"],
    [...Map.groupBy(results, ({ who }) => who)].map(([who, own]) => [
      who,
      median(own.map(({ calls }) => calls)).toFixed(0),
      median(own.map(({ p50 }) => p50)).toFixed(1),
      median(own.map(({ p99 }) => p99)).toFixed(1),
      quantile(
        own.map(({ p99 }) => p99),
        1,
      ).toFixed(1),
    ]),
  );
});
