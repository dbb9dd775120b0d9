import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { openStore } from "../db/sqlite/store.ts";
import {
  benchmark,
  createToken,
  median,
  Program,
  printTable,
  seededDatabase,
  serve,
  unlimited,
} from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 7);
const SECONDS = 3;
const NAME = "m25_mail_list_domains";
const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

/** A call of list_domains in the form of each protocol era. */
const eras = {
  "2025-11-25": { headers: { "mcp-protocol-version": "2025-11-25" }, meta: undefined },
  "2026-07-28": {
    headers: { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": NAME },
    meta: META,
  },
};
type Era = keyof typeof eras;

interface Load {
  /** Calls a second. */
  rate: number;
  /** The server's processor time for a call, in µs. */
  cpu: number;
}

/** Calls over stateless HTTP that list ten domains: the product and the idioms of both SDK lines, in turn. */
await benchmark(async () => {
  const { folder, database } = await seededDatabase({ users: 100, domains: 10 });
  const store = openStore(database, { create: false });
  const token = await createToken(store, "bench");
  await store.close();

  const servers = {
    "m25-mail serve": serve(database, ...unlimited),
    "SDK 1.x, its idiom": new Program(["bench/servers/sdk1-idiom.ts", database]),
    "SDK 2.x, its idiom": new Program(["bench/servers/sdk-idiom.ts", database]),
  };
  type Name = keyof typeof servers;
  const names = Object.keys(servers) as Name[];
  /** The 1.x line does not support 2026-07-28. */
  const speaks = (name: Name, era: Era) => name !== "SDK 1.x, its idiom" || era === "2025-11-25";
  const loads = new Map<string, Load[]>();
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const era of Object.keys(eras) as Era[]) {
      for (const name of names.filter((candidate) => speaks(candidate, era))) {
        const url = await servers[name].url();
        await expectAnswer(url, token, era);
        const before = servers[name].cpuSeconds();
        const { calls, rate } = await load(url, token, era, round < 0 ? 1 : SECONDS, folder);
        const cpu = ((servers[name].cpuSeconds() - before) / calls) * 1e6;
        if (round >= 0) loads.set(`${era} ${name}`, [...(loads.get(`${era} ${name}`) ?? []), { rate, cpu }]);
      }
    }
  }
  printTable(
    ["list_domains over HTTP", "calls/s", "product x this, by round", "CPU µs", "x this, by round"],
    (Object.keys(eras) as Era[]).flatMap((era) => {
      const product = loads.get(`${era} m25-mail serve`) ?? [];
      return names
        .filter((name) => speaks(name, era))
        .map((name) => {
          const own = loads.get(`${era} ${name}`) ?? [];
          const of = (figure: keyof Load) => median(own.map((load) => load[figure])).toFixed(0);
          const ratio = (figure: keyof Load) =>
            median(product.map((load, round) => load[figure] / (own[round]?.[figure] ?? 0))).toFixed(2);
          return [`${name}, ${era}`, of("rate"), ratio("rate"), of("cpu"), ratio("cpu")];
        });
    }),
  );
});

function message(token: string, era: Era): { headers: Record<string, string>; body: string } {
  const { headers, meta } = eras[era];
  return {
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...headers,
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: NAME, arguments: {}, _meta: meta },
    }),
  };
}

/** Checks for a real answer: refusals have status 200 as well. */
async function expectAnswer(url: string, token: string, era: Era): Promise<void> {
  const { headers, body } = message(token, era);
  const response = await fetch(`${url}/mcp`, { method: "POST", headers, body });
  const text = await response.text();
  if (!text.includes('"total":10')) throw new Error(`${era}: no list of ten domains:\n${text}`);
}

async function load(url: string, token: string, era: Era, seconds: number, folder: string) {
  const { headers, body } = message(token, era);
  const environment = {
    ...process.env,
    POST_BODY: join(folder, "body"),
    POST_HEADERS: join(folder, "headers"),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\n`);
  writeFileSync(environment.POST_HEADERS, lines.join(""), { mode: 0o600 });
  writeFileSync(environment.POST_BODY, body);
  const script = join(import.meta.dirname, "post.lua");
  const { stdout } = await promisify(execFile)(
    "wrk",
    ["-t1", "-c16", `-d${seconds}s`, "-s", script, `${url}/mcp`],
    { env: environment },
  );
  const [, requests = 0, microseconds = 0, errors = 0] =
    /^post (\d+) (\d+) (\d+)$/m.exec(stdout)?.map(Number) ?? [];
  if (requests === 0 || errors > 0) throw new Error(`not every call was answered:\n${stdout}`);
  return { calls: requests, rate: requests / (microseconds / 1e6) };
}
