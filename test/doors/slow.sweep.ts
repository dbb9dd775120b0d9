import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { promisify, stripVTControlCharacters } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { limitConnections } from "../../src/doors/http/connections.ts";
import { MOST_CONNECTIONS_OF_ONE } from "../../src/doors/http/limits.ts";
import { Networks } from "../../src/mail/network.ts";
import { certificate } from "../support/certificate.ts";
import { callTool, connectHttp } from "../support/clients.ts";
import { http } from "../support/http.ts";
import { SLOWHTTPTEST } from "../support/needs.ts";
import { serveProcess } from "../support/program.ts";
import { startServer } from "../support/server.ts";
import { temporaryFolder, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** What slowhttptest says of 250 connections of one kind of attack, once none is left open or 50 s are over. */
async function attack(url: string, ...kind: readonly string[]): Promise<string> {
  const args = ["-c", "250", "-r", "250", "-i", "2", "-l", "50", "-p", "5", ...kind, "-u", url];
  const { stdout } = await promisify(execFile)(SLOWHTTPTEST, args, { timeout: 600_000 });
  return stripVTControlCharacters(stdout);
}

test.skipIf(!existsSync(SLOWHTTPTEST))(
  "while slow requests come in by hundreds, and until they are cut off, a node and an assistant are served",

  async () => {
    const server = await startServer();
    const { must } = testRuntime(server.store);
    const node = new SyncingNode(server.url, String((await must("add-node", { name: "pi" })).sync_key));
    await node.poll();
    const client = await connectHttp("1.x", server.url, server.token);
    let attacking = true;
    const attacks = Promise.all([
      attack(`${server.url}/mcp`, "-H"),
      attack(`${server.url}/api/add-domain`, "-B", "-s", "8192"),
      attack(`${server.url}/healthz`, "-X", "-w", "10", "-y", "20", "-z", "1", "-k", "3"),
    ]).finally(() => {
      attacking = false;
    });
    let served = 0;
    while (attacking) {
      const waiting = node.poll({ prefer: "wait=55" });
      const added = await callTool(client, "add-domain", { domain: `d${served}.nl` });
      expect(added.isError).toBeFalsy();
      expect((await waiting).kind).toBe("delta");
      served += 1;
    }
    expect(served).toBeGreaterThan(10);
    const [headers, body] = await attacks;
    for (const said of [headers, body]) expect(said).toMatch(/Exit status:\s+No open connections left/);
  },
);

test("a TLS handshake that is never begun is not waited for", async () => {
  const { cert, key, folder } = certificate();
  const server = await serveProcess(join(folder, "m25-mail.db"), ["--tls-cert", cert, "--tls-key", key]);
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1").resume();
  await once(socket, "close");
});

/** This many connections from an address; the ones that were not hung up on at once, after `last` has been answered. */
async function connections(port: number, count: number, localAddress: string): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () =>
    connect({ port, host: "127.0.0.1", localAddress })
      .resume()
      .on("error", () => {}),
  );
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  return sockets;
}

const open = (sockets: readonly Socket[]) => sockets.filter((socket) => !socket.closed).length;

test("one address has so many connections and no more; others are served meanwhile", async () => {
  const server = await serveProcess(join(temporaryFolder(), "m25-mail.db"));
  const port = Number(new URL(server.url).port);
  const sockets = await connections(port, MOST_CONNECTIONS_OF_ONE + 20, "127.0.0.2");
  await expect.poll(() => open(sockets)).toBe(MOST_CONNECTIONS_OF_ONE);
  expect((await http(`${server.url}/healthz`, { localAddress: "127.0.0.3" })).status).toBe(200);
  await expect(http(`${server.url}/healthz`, { localAddress: "127.0.0.2" })).rejects.toThrow();
  for (const socket of sockets) socket.destroy();
  const health = () =>
    http(`${server.url}/healthz`, { localAddress: "127.0.0.2" }).then(
      ({ status }) => status,
      () => 0,
    );
  await expect.poll(health).toBe(200);
});

test("a trusted proxy may have more connections than another address, and nobody more than there are", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  limitConnections(server, { most: 12, mostOfOne: 3 }, new Networks(["127.0.0.2"]));
  const { port } = server.address() as AddressInfo;
  const proxied = await connections(port, 8, "127.0.0.2");
  const other = await connections(port, 8, "127.0.0.3");
  await expect.poll(() => open(other)).toBe(3);
  expect(open(proxied)).toBe(8);
  const more = await connections(port, 8, "127.0.0.2");
  await expect.poll(() => open(more)).toBe(1);
});
