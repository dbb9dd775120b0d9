/** A node that was removed and added again at the server, as after a key was stolen. */
import { writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { realServer } from "./real-server.ts";
import { metaOf, picture } from "./support.ts";

it("a node that was removed and added again reports again, and is current after its first poll", async () => {
  const { node, must, listed } = await realServer(["jan@example.nl"]);
  expect((await node.poll()).exitCode).toBe(0);
  const { revision } = metaOf(node.config.out);
  await must("remove-node", { name: "pi" });
  expect((await node.poll()).exitCode).toBe(77);
  const { sync_key } = await must("add-node", { name: "pi" });
  writeFileSync(node.config.keyFile, `${sync_key}\n`, { mode: 0o600 });
  expect(await node.poll()).toMatchObject({ exitCode: 0, news: "unchanged", reported: true });
  await expect.poll(listed).toMatchObject({ status: "current", applied_revision: revision });
  expect(JSON.stringify(picture(node.config.out))).not.toContain((sync_key as string).split("_")[2]);
  expect((await node.poll()).reported).toBe(false);
});
