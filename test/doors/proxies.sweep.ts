import { setDefaultCACertificates } from "node:tls";
import { expect, test } from "vitest";
import { isInstalled, type ProxyKind, proxies, startProxy } from "../support/proxies.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

test("no proxy cuts off a poll that waits as long as allowed", async () => {
  const installed = (Object.keys(proxies) as ProxyKind[]).filter(isInstalled);
  const all = await Promise.all(
    installed.map(async (kind) => {
      const server = await startServer({ "trusted-proxies": "127.0.0.1" });
      return { proxy: await startProxy(kind, server.url), ...testRuntime(server.store) };
    }),
  );
  setDefaultCACertificates(all.map(({ proxy }) => proxy.ca.toString()));
  const polls = all.map(async ({ proxy, must }) => {
    const node = new SyncingNode(proxy.url, String((await must("add-node", { name: "pi" })).sync_key));
    await node.poll();
    return (await node.poll({ prefer: "wait=55" })).status;
  });
  expect(await Promise.all(polls)).toEqual(installed.map(() => 304));
});
