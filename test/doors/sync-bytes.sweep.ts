import { expect, test } from "vitest";
import { http } from "../support/http.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** The limit on the maps that a node gets within a minute. */
const BYTES = 128 * 1024 * 1024;

test("a node that repeats a large delta request is told when to retry, and others continue", async () => {
  const server = await startServer();
  const { must } = testRuntime(server.store);
  await must("add-domain", { domain: "example.nl" });
  const [node, other] = await Promise.all(
    ["pi", "other"].map(async (name) => {
      const { sync_key } = await must("add-node", { name });
      const syncing = new SyncingNode(server.url, String(sync_key));
      await syncing.poll();
      return { syncing, key: String(sync_key) };
    }),
  );
  if (node === undefined || other === undefined) throw new Error("no nodes");
  for (let number = 0; number < 1_900; number += 1)
    await must("add-user", { email: `${"u".repeat(50)}${number}@example.nl`, password: PASSWORD });
  const since = node.syncing.state?.cursor ?? "";
  const ask = () =>
    http(`${server.url}/sync/v1/maps?since=${since}`, { headers: { authorization: `Bearer ${node.key}` } });
  let bytes = 0;
  let answer = await ask();
  while (answer.status === 200 && bytes < 2 * BYTES) {
    bytes += answer.body.length;
    answer = await ask();
  }
  expect(answer.status).toBe(429);
  expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
  expect(bytes).toBeGreaterThan(BYTES);
  expect((await other.syncing.poll()).kind).toBe("delta");
});
