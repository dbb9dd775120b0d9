import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { limitConnections } from "../../src/doors/http/connections.ts";
import { MOST_CONNECTIONS_OF_ONE } from "../../src/doors/http/server-limits.ts";
import { Networks } from "../../src/mail/network.ts";
import { certificate } from "../support/certificate.ts";
import { http } from "../support/http.ts";
import { serveProcess } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

test("a connection that never begins its TLS handshake is closed", async () => {
  const { cert, key, folder } = certificate();
  const server = await serveProcess(join(folder, "m25-mail.db"), ["--tls-cert", cert, "--tls-key", key]);
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1").resume();
  await once(socket, "close");
});

/** Opens this many connections from one address. Returns those still open once the last was answered. */
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

test("one address has a limited number of connections, and others are served meanwhile", async () => {
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

test("a trusted proxy may have more connections than other addresses, and all together have a limit", async () => {
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
