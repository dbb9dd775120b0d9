import { expect, test } from "vitest";
import { startServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

test("of 200 passwords set at once, each is set or its refusal says that it was not", async () => {
  const server = await startServer();
  const { must } = testRuntime(server.store);
  await must("add-domain", { domain: "example.nl" });
  const emails = Array.from({ length: 200 }, (_, index) => `u${index}@example.nl`);
  for (const email of emails) await must("add-user", { email, password: PASSWORD });
  const { sync_key } = await must("add-node", { name: "pi" });
  const node = new SyncingNode(server.url, String(sync_key));
  await node.poll();
  const before = new Map(node.state?.users);
  const revision = node.state?.revision ?? 0;
  const answers = await Promise.all(
    emails.map((email) => server.api("update-password", { email, password: "another password" })),
  );
  const changed = answers.filter(({ status }) => status === 200);
  expect(changed.length).toBeGreaterThanOrEqual(66);
  expect(changed.length).toBeLessThan(200);
  await node.poll();
  for (const [index, { status, body }] of answers.entries()) {
    const email = emails[index] ?? "";
    const isNew = JSON.stringify(node.state?.users.get(email)) !== JSON.stringify(before.get(email));
    expect(isNew, email).toBe(status === 200);
    if (status !== 200) expect({ status, ...body }).toMatchObject({ status: 429, code: "busy" });
  }
  expect((node.state?.revision ?? 0) - revision).toBe(changed.length);
});
