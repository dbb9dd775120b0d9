import { join } from "node:path";
import { expect, test } from "vitest";
import { startServer } from "../support/server.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

const HOUR = 3_600_000;
const START = Date.parse("2026-03-01T12:00:00Z");

test.each([
  ["an hour back", -HOUR],
  ["a year on", 365 * 24 * HOUR],
  ["a year back", -365 * 24 * HOUR],
])(
  "a server whose clock jumps %s and back shows other times, and nothing else changes",
  async (_jump, by) => {
    let now = START;
    const clock = { now: () => new Date(now) };
    const database = join(temporaryFolder(), "m25-mail.db");
    let server = await startServer({ db: database }, clock);
    let shell = testRuntime(server.store, clock);
    const { token } = server;
    await shell.must("add-domain", { domain: "example.nl" });
    for (const name of ["jan", "piet", "kees"]) {
      await shell.must("add-user", { email: `${name}@example.nl`, password: PASSWORD });
    }
    const { body } = await server.api("add-node", { name: "pi" });
    let node = new SyncingNode(server.url, String(body.sync_key));
    await node.poll();
    const history = node.state?.history;

    /** A waiting node gets a change as soon as ever, and a wait without a change ends as late as ever. */
    const works = async (name: string) => {
      const waiting = node.poll({ prefer: "wait=55" });
      await shell.must("remove-user", { email: `${name}@example.nl` });
      expect((await waiting).status).toBe(200);
      expect((await node.poll({ prefer: "wait=1" })).status).toBe(304);
      expect(node.state).toEqual(await node.everything());
      expect(node.state?.users.has(`${name}@example.nl`)).toBe(false);
      expect(node.state?.history).toBe(history);
    };
    /** Restarts the server, which also does its hourly work. The node then has a state from before. */
    const restart = async () => {
      await server.close();
      server = await startServer({ db: database }, clock);
      shell = testRuntime(server.store, clock);
      const former = node;
      node = new SyncingNode(server.url, former.key);
      node.state = former.state;
    };
    /** The node's state from before the jump. */
    const away = node.state;

    await works("jan");
    now += by;
    await works("piet");
    await restart();
    expect((await node.poll()).status).toBe(304);
    now = START;
    await restart();
    await works("kees");
    node.state = away;
    expect((await node.poll()).status).toBe(200);
    expect(node.state).toEqual(await node.everything());

    // The first token and the node's key do not expire. The node's contact is updated by its next poll.
    await expect
      .poll(async () => (await server.api("list-nodes", undefined, token)).body)
      .toMatchObject({ nodes: [{ last_sync_at: new Date(START).toISOString(), status: "behind" }] });
  },
);

test("a key that ends after a day ends by the clock, and its successor does not", async () => {
  let now = START;
  const server = await startServer({}, { now: () => new Date(now) });
  const { body } = await server.api("add-node", { name: "pi" });
  const post = await fetch(`${server.url}/sync/v1/key`, {
    method: "POST",
    headers: { authorization: `Bearer ${body.sync_key}` },
  });
  const { sync_key } = (await post.json()) as { sync_key: string };
  now += 365 * 24 * HOUR;
  expect((await new SyncingNode(server.url, String(body.sync_key)).poll()).status).toBe(401);
  expect((await new SyncingNode(server.url, sync_key).poll()).status).toBe(200);
  now = START - HOUR;
  expect((await new SyncingNode(server.url, sync_key).poll()).status).toBe(200);
});
