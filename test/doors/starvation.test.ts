import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { http } from "../support/http.ts";
import { postMcp, rpc } from "../support/mcp.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** A server with `users` mailboxes, and a second token. */
async function serverForTwo(flags: Record<string, string> = {}, users = 10) {
  const server = await startServer(flags);
  const { must } = testRuntime(server.store);
  await must("add-domain", { domain: "example.nl" });
  for (let index = 0; index < users; index += 1) {
    await must("add-user", { email: `u${index}@example.nl`, password: PASSWORD });
  }
  const other = String((await must("create-token", { name: "other" })).token);
  return { server, must, other };
}

const list = (id: number) => ({
  ...rpc("tools/call", { name: "m25_mail_list_users", arguments: { limit: 1000 } }),
  id,
});

/** Counts the unfinished requests of a path: the maximum at a time, and the total so far. */
function watchRequests(path: string) {
  const seen = { underWay: 0, most: 0, begun: 0 };
  const begins = (message: unknown) => {
    if (pathOf(message) !== path) return;
    seen.begun += 1;
    seen.underWay += 1;
    seen.most = Math.max(seen.most, seen.underWay);
  };
  const ends = (message: unknown) => {
    if (pathOf(message) === path) seen.underWay -= 1;
  };
  subscribe("http.server.request.start", begins);
  subscribe("http.server.response.finish", ends);
  onTestFinished(() => {
    unsubscribe("http.server.request.start", begins);
    unsubscribe("http.server.response.finish", ends);
  });
  return seen;
}

function pathOf(message: unknown): string | undefined {
  return (message as { request: { url?: string } }).request.url;
}

async function connection(server: TestServer): Promise<Socket> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  return socket;
}

function request(method: string, path: string, credential: string, body = "", fields = ""): string {
  const length = body === "" ? "" : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${credential}\r\n${fields}${length}\r\n${body}`;
}

async function waitingPolls(server: TestServer): Promise<number> {
  const { body } = await http(`${server.url}/metrics`, {
    headers: { authorization: `Bearer ${server.token}` },
  });
  return Number(/^m25_mail_polls_waiting (\d+)$/m.exec(body)?.[1]);
}

test("a list is answered while another principal runs batches of lists", async () => {
  // Enough that even a fast machine takes many turns of the event loop for the batches.
  const { server, other } = await serverForTwo({}, 500);
  const order: string[] = [];
  const batch = Array.from({ length: 4 }, (_, id) => list(id));
  const storm = Array.from({ length: 15 }, () =>
    postMcp(server, batch).then(({ body }) => {
      expect(body.match(/"isError":true/g)).toBeNull();
      order.push("batch");
    }),
  );
  await Promise.race(storm);
  const modest = server
    .api("list-users", undefined, other)
    .then(({ status }) => order.push(`list ${status}`));
  const health = http(`${server.url}/healthz`).then(({ status }) => order.push(`health ${status}`));
  await Promise.all([...storm, modest, health]);
  for (const answer of ["list 200", "health 200"]) {
    expect(order).toContain(answer);
    expect(order.indexOf(answer), order.join()).toBeLessThan(order.lastIndexOf("batch"));
  }
});

test("a batch has at most four messages, and a longer one is refused as a whole", async () => {
  const { server } = await serverForTwo();
  const add = (id: number) => ({
    ...rpc("tools/call", { name: "m25_mail_add_domain", arguments: { domain: `d${id}.nl` } }),
    id,
  });
  const refused = await postMcp(
    server,
    Array.from({ length: 5 }, (_, id) => add(id)),
  );
  expect(refused.status).toBe(400);
  expect(JSON.parse(refused.body)).toMatchObject({
    error: { message: expect.stringContaining("at most 4") },
  });
  expect((await server.api("list-domains")).body).toMatchObject({ total: 1 });
});

test("a password is set while another principal sets as many as possible", async () => {
  const { server, other } = await serverForTwo({ "hash-cost": "10" });
  const order: string[] = [];
  const change = (token: string, index: number, who: string) =>
    server
      .api("update-password", { email: `u${index}@example.nl`, password: PASSWORD }, token)
      .then(({ status }) => order.push(`${who} ${status}`));
  const storm = Array.from({ length: 30 }, (_, index) => change(server.token, index % 9, "greedy"));
  await storm[0];
  await change(other, 9, "modest");
  expect(order.filter((each) => each === "greedy 200").length).toBeLessThan(15);
  expect(order.at(-1)).toBe("modest 200");
  await Promise.all(storm);
});

test("a list does not wait for passwords that the same principal sets", async () => {
  const { server } = await serverForTwo({ "hash-cost": "10" });
  const order: string[] = [];
  const storm = Array.from({ length: 9 }, (_, index) =>
    server
      .api("update-password", { email: `u${index}@example.nl`, password: PASSWORD })
      .then(({ status }) => order.push(`password ${status}`)),
  );
  await storm[0];
  await server.api("list-users").then(({ status }) => order.push(`list ${status}`));
  expect(order.length).toBeLessThan(5);
  await Promise.all(storm);
  expect(order.filter((each) => each === "password 200")).toHaveLength(9);
});

test("pipelined polls are read a few at a time, and others are answered meanwhile", async () => {
  const { server, must } = await serverForTwo();
  const key = String((await must("add-node", { name: "greedy" })).sync_key);
  const honest = new SyncingNode(server.url, String((await must("add-node", { name: "pi" })).sync_key));
  await honest.poll();
  const tag = (await http(`${server.url}/sync/v1/maps`, { headers: { authorization: `Bearer ${key}` } }))
    .headers.etag;
  const path = "/sync/v1/maps?greedy";
  const seen = watchRequests(path);
  const poll = request("GET", path, key, "", `If-None-Match: ${tag}\r\n`);
  const socket = await connection(server);
  const count = 3_000;
  const all = text(socket);
  socket.write(poll.repeat(count - 1) + poll.replace("Host", "Connection: close\r\nHost"));
  for (let index = 0; index < 3; index += 1) {
    expect((await honest.poll()).status).toBe(304);
    expect((await http(`${server.url}/healthz`)).status).toBe(200);
  }
  expect(seen.begun).toBeLessThan(count);
  expect((await all).match(/HTTP\/1\.1 304 /g)).toHaveLength(count);
  // Two reads of 64 KiB, because the second may have been under way.
  expect(seen.most).toBeLessThanOrEqual(4 + (2 * 65_536) / poll.length);
});

test("pipelined calls with bodies are all answered in order", async () => {
  const { server } = await serverForTwo();
  const socket = await connection(server);
  const count = 150;
  const all = text(socket);
  const padding = " ".repeat(1000);
  for (let index = 0; index < count; index += 1) {
    const body = JSON.stringify({ domain: `d${index}.nl` }) + padding;
    const last = index === count - 1 ? "Connection: close\r\n" : "";
    socket.write(request("POST", "/api/add-domain", server.token, body, last));
  }
  const added = [...(await all).matchAll(/"domain":"d(\d+)\.nl"/g)].map(([, index]) => Number(index));
  expect(added).toEqual(Array.from({ length: count }, (_, index) => index));
});

/** Starts a node that waits before all others, so that no other's wait ends unless something ends it. */
async function firstToWait({ server, must }: Awaited<ReturnType<typeof serverForTwo>>) {
  const node = new SyncingNode(server.url, String((await must("add-node", { name: "first" })).sync_key));
  await node.poll();
  const poll = node.poll({ prefer: "wait=55" });
  await expect.poll(() => waitingPolls(server)).toBe(1);
  return {
    async stillWaits(): Promise<boolean> {
      await must("add-domain", { domain: "news.nl" });
      return (await poll).status === 200;
    },
  };
}

test("a node has at most two waiting polls, and a third ends the oldest", async () => {
  const served = await serverForTwo();
  const { server, must } = served;
  const node = new SyncingNode(server.url, String((await must("add-node", { name: "pi" })).sync_key));
  await node.poll();
  const first = await firstToWait(served);
  const polls = [];
  for (let index = 0; index < 3; index += 1) {
    polls.push(node.poll({ prefer: "wait=55" }));
    await expect.poll(() => waitingPolls(server)).toBe(Math.min(index + 2, 3));
  }
  expect((await polls[0])?.status).toBe(304);
  expect(await waitingPolls(server)).toBe(3);
  expect(await first.stillWaits()).toBe(true);
  expect((await Promise.all(polls)).map(({ status }) => status)).toEqual([304, 200, 200]);
});

test("a poll ends with its connection, even one that is queued behind another", async () => {
  const served = await serverForTwo();
  const { server, must } = served;
  const first = await firstToWait(served);
  const socket = await connection(server);
  for (const name of ["one", "two", "three"]) {
    const key = String((await must("add-node", { name })).sync_key);
    const authorization = `Bearer ${key}`;
    const { headers } = await http(`${server.url}/sync/v1/maps`, { headers: { authorization } });
    socket.write(
      request("GET", "/sync/v1/maps", key, "", `If-None-Match: ${headers.etag}\r\nPrefer: wait=55\r\n`),
    );
  }
  await expect.poll(() => waitingPolls(server)).toBe(4);
  socket.destroy();
  await expect.poll(() => waitingPolls(server)).toBe(1);
  expect(await first.stillWaits()).toBe(true);
});
