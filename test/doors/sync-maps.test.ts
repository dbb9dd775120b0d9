import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { expect, test } from "vitest";
import { AnswerReader, type MailState } from "../support/answer-reader.ts";
import { nameOf, openTestStore } from "../support/engine.ts";
import { http } from "../support/http.ts";
import { openMaps } from "../support/open-maps.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { fakeHash, PASSWORD, testRuntime } from "../support/store.ts";

/** Registers a node and polls as it does. */
async function nodeOf(server: TestServer, input: object = {}) {
  const key = String((await server.api("add-node", { name: "pi", ...input })).body.sync_key);
  return (headers: Record<string, string> = {}) =>
    fetch(`${server.url}/sync/v1/maps`, {
      headers: { authorization: `Bearer ${key}`, "accept-encoding": "identity", ...headers },
    });
}

function read(body: string): MailState {
  const reader = new AnswerReader();
  expect(body.endsWith("\n")).toBe(true);
  for (const line of body.slice(0, -1).split("\n")) reader.push(line);
  return reader.finish();
}

test("a node gets the domains and active mailboxes, complete and with a digest, and nothing else", async () => {
  const server = await startServer();
  const shell = testRuntime(server.store);
  await shell.must("add-domain", { domain: "bücher.example" });
  await shell.must("add-domain", { domain: "example.nl" });
  for (const name of ["jan", "piet", "kees"]) {
    await shell.must("add-user", { email: `${name}@example.nl`, password: PASSWORD, quota_mb: 5 });
  }
  await shell.must("remove-user", { email: "piet@example.nl" });
  await shell.must("remove-user", { email: "kees@example.nl", hard_delete: true });
  const poll = await nodeOf(server);

  const answer = await poll();
  expect(answer.status).toBe(200);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  expect(answer.headers.get("etag")).toMatch(/^"7-[0-9a-f]{64}"$/);
  const body = await answer.text();
  const state = read(body);
  expect([...state.domains.keys()].sort()).toEqual(["example.nl", "xn--bcher-kva.example"]);
  expect([...state.users.values()]).toEqual([
    {
      user: "jan@example.nl",
      password: fakeHash(PASSWORD),
      quota_mb: 5,
      mailbox: expect.stringMatching(/^[0-9a-f]{16}$/),
    },
  ]);
  expect(Object.keys(JSON.parse(body.split("\n")[0] ?? ""))).toEqual([
    "protocol",
    "kind",
    "role",
    "history",
    "revision",
    "digest",
    "counts",
    "cursor",
  ]);
});

test("an empty server serves an empty state, which is not an error", async () => {
  const server = await startServer();
  const poll = await nodeOf(server);
  expect(read(await (await poll()).text())).toMatchObject({
    revision: 0,
    domains: new Map(),
    users: new Map(),
  });
});

test("an up-to-date node gets a few bytes until something changes", async () => {
  const server = await startServer();
  await server.api("add-domain", { domain: "example.nl" });
  const poll = await nodeOf(server);
  const etag = (await poll()).headers.get("etag") ?? "";

  const same = await poll({ "if-none-match": etag });
  expect(same.status).toBe(304);
  expect(same.headers.get("etag")).toBe(etag);
  expect(await same.text()).toBe("");
  await server.api("add-node", { name: "other" });
  await server.api("remove-domain", { domain: "other.nl" });
  expect((await poll({ "if-none-match": etag })).status).toBe(304);

  await server.api("add-domain", { domain: "second.nl" });
  const changed = await poll({ "if-none-match": etag });
  expect(changed.status).toBe(200);
  expect(read(await changed.text()).domains.has("second.nl")).toBe(true);
  expect(changed.headers.get("etag")).not.toBe(etag);
});

test("the same revision with another content has another tag", async () => {
  const server = await startServer();
  await server.api("add-domain", { domain: "example.nl" });
  const poll = await nodeOf(server);
  for (const etag of [`"1-${"0".repeat(64)}"`, '"1"', "*", "1"]) {
    expect((await poll({ "if-none-match": etag })).status, etag).toBe(200);
  }
});

test("a change by another process in the same database is served at the next poll", async () => {
  const server = await startServer();
  const poll = await nodeOf(server);
  const etag = (await poll()).headers.get("etag") ?? "";
  const beside = openTestStore(server.database, { create: false });
  await testRuntime(beside).must("add-domain", { domain: "example.nl" });
  const answer = await poll({ "if-none-match": etag });
  expect(read(await answer.text()).domains.has("example.nl")).toBe(true);
  await beside.close();
});

test("compressed and plain maps are the same", async () => {
  const server = await startServer();
  const shell = testRuntime(server.store);
  await shell.must("add-domain", { domain: "example.nl" });
  for (let index = 0; index < 50; index += 1) {
    await shell.must("add-user", { email: `u${index}@example.nl`, password: PASSWORD });
  }
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const raw = async (accepts: string) => {
    const answer = await fetch(`${server.url}/sync/v1/maps`, {
      headers: { authorization: `Bearer ${key}`, "accept-encoding": accepts },
    });
    return { encoding: answer.headers.get("content-encoding"), text: await answer.text() };
  };
  const plain = await raw("identity");
  expect(plain.encoding).toBeNull();
  const packed = await raw("gzip, br;q=0.5");
  expect(packed.encoding).toBe("br");
  expect(packed.text).toBe(plain.text); // fetch decompresses
  expect((await raw("br;q=0, gzip")).encoding).toBeNull();
  expect(read(plain.text).users.size).toBe(50);
});

test("a hundred nodes that poll at once each get a whole consistent state during changes", async () => {
  const server = await startServer();
  const shell = testRuntime(server.store);
  await shell.must("add-domain", { domain: "example.nl" });
  const polls = [];
  for (let index = 0; index < 100; index += 1) polls.push(await nodeOf(server, { name: `node-${index}` }));
  const answers = await Promise.all(
    polls.map(async (poll, index) => {
      if (index % 10 === 0) await shell.must("add-domain", { domain: `d${index}.nl` });
      const answer = await poll();
      return { etag: answer.headers.get("etag"), state: read(await answer.text()) };
    }),
  );
  for (const { etag, state } of answers) expect(etag).toBe(`"${state.revision}-${state.digest}"`);
  const [poll] = polls;
  expect(read((await (await poll?.())?.text()) ?? "").domains.size).toBe(11);
});

test.each([
  ["127.0.0.1", 200],
  ["127.0.0.0/8", 200],
  ["::ffff:127.0.0.1", 200],
  ["192.0.2.0/24", 403],
  ["::1", 403],
])("a key registered for %s gets %s from 127.0.0.1", async (ip_address, expected) => {
  const server = await startServer();
  const poll = await nodeOf(server, { ip_address });
  const answer = await poll({ "x-forwarded-for": "192.0.2.7" });
  expect(answer.status).toBe(expected);
  if (expected === 403) expect(await answer.json()).toMatchObject({ code: "forbidden" });
});

test("on an IPv6 socket an IPv4 node is known by its IPv4 address", async () => {
  const server = await startServer({ host: "::" });
  const url = `http://127.0.0.1:${new URL(server.url).port}`;
  const add = async (name: string, ip_address: string) => {
    const answer = await http(`${url}/api/add-node`, {
      method: "POST",
      headers: { authorization: `Bearer ${server.token}`, "content-type": "application/json" },
      body: JSON.stringify({ name, ip_address }),
    });
    return JSON.parse(answer.body).sync_key as string;
  };
  for (const [name, network, expected] of [
    ["a", "127.0.0.1", 200],
    ["b", "127.0.0.0/8", 200],
    ["c", "192.0.2.7", 403],
  ] as const) {
    const authorization = `Bearer ${await add(name, network)}`;
    expect((await http(`${url}/sync/v1/maps`, { headers: { authorization } })).status, network).toBe(
      expected,
    );
  }
});

test.skipIf(process.platform !== "linux")(
  "nodes that disconnect during an answer leave no file open (needs Linux)",
  async () => {
    const server = await startServer();
    const shell = testRuntime(server.store);
    await shell.must("add-domain", { domain: "example.nl" });
    for (let index = 0; index < 300; index += 1) {
      await shell.must("add-user", {
        email: `${"x".repeat(50)}${index}@example.nl`,
        password: `password ${index}`,
      });
    }
    const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
    const { port } = new URL(server.url);
    const hangUp = (encoding: string, patience: number) =>
      new Promise<void>((resolve) => {
        const socket = connect(Number(port), "127.0.0.1", () => {
          socket.write(
            `GET /sync/v1/maps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nAccept-Encoding: ${encoding}\r\n\r\n`,
          );
          setTimeout(() => socket.destroy(), patience);
        });
        socket.on("close", () => resolve());
        socket.on("error", () => {});
      });
    for (let round = 0; round < 30; round += 1) {
      await shell.must("set-user", { email: `${"x".repeat(50)}0@example.nl`, quota_mb: round + 1 });
      await Promise.all([hangUp("br", round % 6), hangUp("identity", round % 6), hangUp("identity", 0)]);
    }
    await expect.poll(() => openMaps().length).toBe(2);
    // The files with hashes have no name, so nobody can open them.
    const names = readdirSync(dirname(nameOf(server.database)));
    expect(names.filter((name) => !/^(m25-mail\.db(-wal|-shm)?|first-token)$/.test(name))).toEqual([]);
    await server.close();
    await expect.poll(openMaps).toEqual([]); // the last disconnection may be recent
  },
);

test("a client that decompresses brotli itself gets valid brotli", async () => {
  const server = await startServer();
  await server.api("add-domain", { domain: "example.nl" });
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    const parts: Buffer[] = [];
    socket
      .on("data", (part) => parts.push(part))
      .on("close", () => resolve(Buffer.concat(parts)))
      .on("error", reject);
    socket.write(
      `GET /sync/v1/maps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer ${key}\r\nAccept-Encoding: br\r\n\r\n`,
    );
  });
  const head = bytes.indexOf("\r\n\r\n");
  const length = Number(/content-length: (\d+)/i.exec(bytes.toString("latin1", 0, head))?.[1]);
  const body = bytes.subarray(head + 4);
  expect(body).toHaveLength(length);
  expect(read((await promisify(brotliDecompress)(body)).toString()).domains.has("example.nl")).toBe(true);
});
