import { writeFileSync } from "node:fs";
import { request as ask, createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import type { Machine } from "../../src/machine/machine.ts";
import type { Text } from "../../src/mail/text.ts";
import { main } from "../../src/node/cli.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";
import { type Node, nodeOf } from "./support.ts";

/** A node in the answer of `list-nodes`. */
export interface Listed {
  name: string;
  status: string;
  applied_revision: number | null;
  reason: string | null;
  reason_count: number | null;
  withheld: number | null;
  failed_checks: string[] | null;
  hint: Text | null;
  last_sync_at: string | null;
}

/** The real server, with some users, and a node that reaches it through a proxy. */
export interface RealServer {
  server: TestServer;
  proxy: Proxy;
  node: Node;
  /** One of the nine tools, or an operator's, as at the server's shell; hashing costs nothing. */
  must(endpoint: string, input?: unknown): Promise<Record<string, unknown>>;
  /** The server's data about the node. */
  listed(): Promise<Listed>;
}

/** A proxy between node and server. It passes everything on until a test changes that. */
export interface Proxy {
  url: URL;
  /** Answers instead of the server, or changes its answers, for the maps only. */
  meddle: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  /** The questions about the maps, passed on or not. */
  asked: IncomingMessage[];
  /** The address to which it passes requests. */
  target: string;
  /** Ends every connection, and accepts none until `open`. */
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

/** @param change changes a whole, plain answer; without it answers pass unchanged */
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

/** Starts a node's resident program, which stops when the test ends. */
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
