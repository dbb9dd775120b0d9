/** A node that was removed and added anew at the server, as after a key was stolen. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { realServer } from "./real-server.ts";

it("a node that was removed and added anew is current after its first poll, for it tells the server again", async () => {
  const { node, must, listed } = await realServer(["jan@example.nl"]);
  expect((await node.poll()).exitCode).toBe(0);
  const { revision } = (JSON.parse(stateOf(node.config.out)) as { applied: { revision: number } }).applied;
  await must("remove-node", { name: "pi" });
  expect((await node.poll()).exitCode).toBe(77);
  const { sync_key } = await must("add-node", { name: "pi" });
  writeFileSync(node.config.keyFile, `${sync_key}\n`, { mode: 0o600 });
  expect(await node.poll()).toMatchObject({ exitCode: 0, news: "unchanged", reported: true });
  await expect.poll(listed).toMatchObject({ status: "current", applied_revision: revision });
  expect(stateOf(node.config.out)).not.toContain((sync_key as string).split("_")[2]);
  expect((await node.poll()).reported).toBe(false);
});

it("a state.json of an earlier version, which does not say with which key it reported, is read, and reported once", async () => {
  const { node } = await realServer(["jan@example.nl"]);
  await node.poll();
  const { reported_with, ...earlier } = JSON.parse(stateOf(node.config.out));
  expect(reported_with).toMatch(/^[0-9a-f]{16}$/);
  writeFileSync(join(node.config.out, "state.json"), JSON.stringify(earlier));
  node.log.length = 0;
  expect(await node.poll()).toMatchObject({ exitCode: 0, news: "unchanged", reported: true });
  expect(node.log.join("\n")).not.toContain("making anew");
  expect((await node.poll()).reported).toBe(false);
});

function stateOf(out: string): string {
  return readFileSync(join(out, "state.json"), "utf8");
}
