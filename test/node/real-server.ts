import { writeFileSync } from "node:fs";
import { request as ask, createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import type { Text } from "../../src/mail/text.ts";
import { main } from "../../src/node/cli.ts";
import type { Machine } from "../../src/node/machine.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";
import { type Node, nodeOf } from "./support.ts";

/** What `list-nodes` says of one node. */
export interface Listed {
  name: string;
  status: string;
  applied_revision: number | null;
  reason: string | null;
  reason_count: number | null;
  hint: Text | null;
  last_sync_at: string | null;
}

/** The real server, with some users, and a node of it that goes through a proxy. */
export interface RealServer {
  server: TestServer;
  proxy: Proxy;
  node: Node;
  /** One of the nine tools, or an operator's, as at the server's shell; hashing costs nothing. */
  must(endpoint: string, input?: unknown): Promise<Record<string, unknown>>;
  /** What the server knows of the node. */
  listed(): Promise<Listed>;
}

/** Something between node and server. Passes everything on until it is told otherwise. */
export interface Proxy {
  url: URL;
  /** Answers in the server's place, or changes what it says, about the maps alone. */
  meddle: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  /** The questions about the maps that passed, or did not. */
  asked: IncomingMessage[];
  /** To where it passes on. */
  target: string;
  /** Every connection ends, and none is taken until `open`. */
  close(): Promise<void>;
  open(): Promise<void>;
}

export async function realServer(
  users: readonly string[],
  { database, parts }: { database?: string; parts?: Partial<Machine> } = {},
): Promise<RealServer> {
  const server = await startServer(database === undefined ? {} : { db: database });
  const { must } = testRuntime(server.store);
  for (const domain of new Set(users.map((user) => user.split("@")[1] ?? "")))
    await must("add-domain", { domain });
  for (const email of users) await must("add-user", { email, password: `secret of ${email}` });
  const { sync_key } = await must("add-node", { name: "pi" });
  const proxy = await startProxy(server.url);
  const node = nodeOf(proxy, parts);
  writeFileSync(node.config.keyFile, `${sync_key}\n`, { mode: 0o600 });
  const listed = async (): Promise<Listed> => {
    const { nodes } = (await must("list-nodes")) as { nodes: Listed[] };
    return nodes.find(({ name }) => name === "pi") as Listed;
  };
  return { server, proxy, node, must, listed };
}

export async function startProxy(target: string): Promise<Proxy> {
  const server = createServer((request, response) => {
    const aboutMaps = request.url?.startsWith("/sync/v1/maps") === true;
    if (aboutMaps) proxy.asked.push(request);
    if (aboutMaps && proxy.meddle !== undefined) return proxy.meddle(request, response);
    passOn(proxy.target, request, response);
  });
  const proxy: Proxy = {
    url: new URL("http://127.0.0.1"),
    meddle: undefined,
    asked: [],
    target,
    open: () => new Promise((resolve) => server.listen(Number(proxy.url.port), "127.0.0.1", resolve)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  await proxy.open();
  proxy.url.port = String((server.address() as AddressInfo).port);
  onTestFinished(() => proxy.close());
  return proxy;
}

/** @param change what becomes of a whole, plain answer; without it, it goes through as it comes */
export function passOn(
  target: string,
  request: IncomingMessage,
  response: ServerResponse,
  change?: (answer: { status: number; headers: Record<string, string>; body: string }) => void,
): void {
  const headers = { ...request.headers };
  if (change !== undefined) delete headers["accept-encoding"];
  const further = ask(new URL(request.url ?? "", target), { method: request.method, headers, agent: false });
  further.on("response", (answer) => {
    const { statusCode: status = 0 } = answer;
    if (change === undefined) {
      response.writeHead(status, answer.headers);
      answer.pipe(response);
      return;
    }
    let body = "";
    answer.setEncoding("latin1").on("data", (piece: string) => {
      body += piece;
    });
    answer.on("end", () => {
      const { "content-length": _, "transfer-encoding": _chunked, ...others } = answer.headers;
      change({ status, headers: others as Record<string, string>, body });
    });
  });
  further.on("error", () => response.destroy());
  response.on("close", () => further.destroy());
  request.pipe(further);
}

/** Starts the resident program of a node; it is told to stop when the test ends. */
export function runResident(node: Node): void {
  const stop = new AbortController();
  const { server, keyFile, out } = node.config;
  const argv = ["run", "--server", server.href, "--key-file", keyFile, "--out", out];
  const ended = main(argv, {}, node.machine, stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await ended;
  });
}
