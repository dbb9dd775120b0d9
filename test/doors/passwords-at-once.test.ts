import bcrypt from "bcrypt";
import { expect, test, vi } from "vitest";
import { http } from "../support/http.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** Holds hashes back until the result is called, so that passwords wait on a machine of any speed. */
function holdHashes(): () => void {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const hash = bcrypt.hash.bind(bcrypt);
  vi.spyOn(bcrypt, "hash").mockImplementation(async (password: string | Buffer, cost: string | number) => {
    await released;
    return hash(password, cost);
  });
  return release;
}

test("of 200 passwords set at once, each is set or its refusal says that it was not, and when to retry", async () => {
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
  const release = holdHashes();
  const answers = await Promise.all(
    emails.map(async (email) => {
      const answer = await http(`${server.url}/api/update-password`, {
        method: "POST",
        headers: { authorization: `Bearer ${server.token}`, "content-type": "application/json" },
        body: JSON.stringify({ email, password: "another password" }),
      });
      if (answer.status === 429) release();
      return answer;
    }),
  );
  const changed = answers.filter(({ status }) => status === 200);
  expect(changed.length).toBeGreaterThanOrEqual(65);
  expect(changed.length).toBeLessThan(200);
  await node.poll();
  for (const [index, { status, headers, body }] of answers.entries()) {
    const email = emails[index] ?? "";
    const isNew = JSON.stringify(node.state?.users.get(email)) !== JSON.stringify(before.get(email));
    expect(isNew, email).toBe(status === 200);
    if (status === 200) continue;
    expect({ status, ...JSON.parse(body) }).toMatchObject({ status: 429, code: "busy" });
    expect(headers["retry-after"]).toBe("3");
  }
  expect((node.state?.revision ?? 0) - revision).toBe(changed.length);
});
