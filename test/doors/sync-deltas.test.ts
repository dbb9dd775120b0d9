import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { startServer, type TestServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

async function registered(server: TestServer, name = "pi"): Promise<SyncingNode> {
  const { body } = await server.api("add-node", { name });
  return new SyncingNode(server.url, String(body.sync_key));
}

async function small(flags: { now?: () => Date } = {}) {
  const server = await startServer({}, flags);
  const shell = testRuntime(server.store, flags);
  await shell.must("add-domain", { domain: "example.nl" });
  for (const name of ["jan", "piet"]) {
    await shell.must("add-user", { email: `${name}@example.nl`, password: PASSWORD });
  }
  const node = await registered(server);
  await node.poll();
  return { server, shell, node };
}

test("an up-to-date node gets 304, and a node that is behind gets the changes only", async () => {
  const { shell, node } = await small();
  expect((await node.poll()).status).toBe(304);
  await shell.must("update-password", { email: "jan@example.nl", password: "another password" });
  await shell.must("remove-user", { email: "piet@example.nl" });
  const { kind, body } = await node.poll();
  expect(kind).toBe("delta");
  expect(
    body
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((line) => line.slice(0, 40)),
  ).toEqual([
    '{"user":"jan@example.nl","password":"{BL',
    '{"user":"piet@example.nl","removed":true',
    '{"end":2}',
  ]);
  expect(node.state).toEqual(await node.everything());
});

test("a look that is older than the node's state begins no new history", async () => {
  const { server, shell, node } = await small();
  const old = await server.store.polls.look();
  await shell.must("add-domain", { domain: "later.nl" });
  await node.poll();
  const { history } = node.state ?? {};
  // As at a server that has not heard yet of another one's change.
  vi.spyOn(server.store.polls, "look").mockResolvedValueOnce(old);
  const { status, kind } = await node.poll();
  expect([status, kind]).toEqual([200, "snapshot"]);
  expect(node.state?.history).toBe(history);
  expect([...(node.state?.domains.keys() ?? [])].sort()).toEqual(["example.nl", "later.nl"]);
});

test.each([
  ["few", 1],
  ["many", 2_100],
])(
  "a node that lacks %s changes gets everything when a new history begins after the look",
  async (_, changes) => {
    const { server, shell, node } = await small();
    for (let number = 0; number < changes; number += 1) {
      await shell.must("add-user", { email: `user${number}@example.nl`, password: PASSWORD });
    }
    const old = await server.store.polls.look();
    await server.store.write(({ state }) => state.startHistory(new Date().toISOString()));
    const later = await node.everything();
    vi.spyOn(server.store.polls, "look").mockResolvedValueOnce(old);
    expect((await node.poll()).kind).toBe("snapshot");
    expect(node.state).toEqual(later);
  },
);

test("a mailbox that was added and removed between two polls causes no error", async () => {
  const { shell, node } = await small();
  await shell.must("add-user", { email: "brief@example.nl", password: PASSWORD });
  await shell.must("remove-user", { email: "brief@example.nl", hard_delete: true });
  expect((await node.poll()).kind).toBe("delta");
  expect(node.state).toEqual(await node.everything());
});

test("a removed domain goes with its users", async () => {
  const { shell, node } = await small();
  for (const name of ["jan", "piet"]) await shell.must("remove-user", { email: `${name}@example.nl` });
  await shell.must("remove-domain", { domain: "example.nl" });
  expect((await node.poll()).kind).toBe("delta");
  expect([node.state?.domains.size, node.state?.users.size]).toEqual([0, 0]);
});

test("thousands of changes are one delta too", async () => {
  const { shell, node } = await small();
  for (let number = 0; number < 2_100; number += 1) {
    await shell.must("add-user", { email: `user${number}@example.nl`, password: PASSWORD });
  }
  expect((await node.poll()).kind).toBe("delta");
  expect(node.state).toEqual(await node.everything());
});

test.each([
  ["another server's cursor", (cursor: string) => cursor.replace(/.{6}$/, "AAAAAA")],
  [
    "a cursor that was changed in the middle",
    (cursor: string) => cursor.replace(/(?<=^.{60}).{6}/, "AAAAAA"),
  ],
  ["nonsense as cursor", () => "nonsense"],
  ["an empty cursor", () => ""],
])("%s leads to a snapshot", async (_what, change) => {
  const { node } = await small();
  if (node.state === undefined) throw new Error("no state");
  node.state = { ...node.state, cursor: change(node.state.cursor) };
  expect((await node.poll()).kind).toBe("snapshot");
});

test("after any changes, a node that polls now and then has the same state as a new node", async () => {
  const name = fc.constantFrom("jan", "piet", "anna");
  const domain = fc.constantFrom("a.nl", "b.nl");
  const email = fc.tuple(name, domain).map(([local, at]) => `${local}@${at}`);
  const step = fc.oneof(
    fc.record({ endpoint: fc.constant("add-domain"), input: fc.record({ domain }) }),
    fc.record({ endpoint: fc.constant("remove-domain"), input: fc.record({ domain }) }),
    fc.record({
      endpoint: fc.constant("add-user"),
      input: fc.record({ email, password: fc.constantFrom("password one", "password two") }),
    }),
    fc.record({
      endpoint: fc.constant("update-password"),
      input: fc.record({ email, password: fc.constantFrom("password one", "password two") }),
    }),
    fc.record({
      endpoint: fc.constant("remove-user"),
      input: fc.record({ email, hard_delete: fc.boolean() }),
    }),
    fc.constant("poll" as const),
    fc.constant("lost answer" as const),
  );
  const server = await startServer();
  const shell = testRuntime(server.store);
  const node = await registered(server);
  await node.poll();
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      for (const each of steps) {
        if (each === "poll") await node.poll();
        else if (each === "lost answer") {
          const before = node.state;
          await node.poll();
          node.state = before;
        } else await shell.run(each.endpoint, each.input);
      }
      await node.poll();
      // A server sends one node few whole states in a minute.
      runs += 1;
      expect(node.state).toEqual(await (await registered(server, `new-${runs}`)).everything());
    }),
    { numRuns: 25 },
  );
});

test("at its start a server forgets removals of more than a month ago", async () => {
  let now = new Date("2026-03-01T12:00:00Z");
  const { server, shell, node } = await small({ now: () => now });
  await shell.must("remove-user", { email: "piet@example.nl" });
  await shell.must("add-domain", { domain: "other.nl" });
  await server.close();
  now = new Date("2026-04-15T12:00:00Z");
  const token = server.token;
  const again = await startServer({ db: server.database }, { now: () => now });
  const { body } = await again.api("add-node", { name: "another" }, token);
  const follower = new SyncingNode(again.url, String(body.sync_key));
  follower.state = node.state;
  expect((await follower.poll()).kind).toBe("snapshot");
  expect((await follower.poll()).status).toBe(304);
});

test("removals are kept for a month, a node away for longer gets a snapshot, and clock jumps change nothing", async () => {
  let now = new Date("2026-03-01T12:00:00Z");
  const { server, shell, node } = await small({ now: () => now });
  await shell.must("remove-user", { email: "piet@example.nl" });
  const forget = () =>
    server.store.write(({ state }) =>
      state.forgetBefore(new Date(now.getTime() - 30 * 86_400_000).toISOString()),
    );
  await forget();
  const seen = node.state;
  expect((await node.poll()).kind).toBe("delta");
  node.state = seen;
  now = new Date("2027-03-01T12:00:00Z");
  await forget();
  expect((await node.poll()).kind).toBe("snapshot");
  expect((await node.poll()).status).toBe(304);
  now = new Date("2026-03-01T11:00:00Z");
  await shell.must("remove-user", { email: "jan@example.nl" });
  await forget();
  expect((await node.poll()).kind).toBe("delta");
  expect(node.state).toEqual(await node.everything());
});
