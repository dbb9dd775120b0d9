import { expect, test } from "vitest";
import { startServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

async function twoCustomers() {
  const server = await startServer();
  const shell = testRuntime(server.store);
  for (const domain of ["a.nl", "b.nl"]) {
    await shell.must("add-domain", { domain });
    await shell.must("add-user", { email: `jan@${domain}`, password: PASSWORD });
  }
  const { body } = await server.api("add-node", { name: "pi" });
  const set = (input: object) => shell.must("set-node", { name: "pi", ...input });
  return { server, shell, set, node: new SyncingNode(server.url, String(body.sync_key)) };
}

test("a node limited to one domain never receives a byte of another", async () => {
  const { shell, set, node } = await twoCustomers();
  expect(await set({ domains: ["a.nl"] })).toMatchObject({ domains: ["a.nl"], role: "mail" });
  const bodies = [(await node.poll()).body];
  for (const domain of ["b.nl", "a.nl"]) {
    await shell.must("add-user", { email: `piet@${domain}`, password: PASSWORD });
    bodies.push((await node.poll()).body);
    await shell.must("update-password", { email: `piet@${domain}`, password: "another password" });
    await shell.must("remove-user", { email: `jan@${domain}` });
    bodies.push((await node.poll()).body);
  }
  expect(bodies.join()).not.toContain("b.nl");
  expect([...(node.state?.users.keys() ?? [])]).toEqual(["piet@a.nl"]);
  expect(node.state).toEqual(await node.everything());
});

test("a node limited to some domains gets their aliases and domain aliases only, before and after its list changes", async () => {
  const { shell, set, node } = await twoCustomers();
  for (const domain of ["a.nl", "b.nl"]) {
    await shell.must("set-alias", { address: `info@${domain}`, targets: [`jan@${domain}`] });
    await shell.must("set-domain-alias", { domain: `more-${domain}`, of: domain });
  }
  const aliases = () => [...(node.state?.aliases.keys() ?? []), ...(node.state?.domainAliases.keys() ?? [])];
  await set({ domains: ["a.nl"] });
  const bodies = [(await node.poll()).body];
  expect(aliases()).toEqual(["info@a.nl", "more-a.nl"]);
  for (const domain of ["b.nl", "a.nl"]) {
    await shell.must("set-alias", { address: `@${domain}`, targets: [`jan@${domain}`] });
    await shell.must("remove-alias", { address: `info@${domain}` });
    await shell.must("set-domain-alias", { domain: `new-${domain}`, of: domain });
    await shell.must("set-domain-alias", { domain: `more-${domain}`, of: null });
    bodies.push((await node.poll()).body);
  }
  expect(bodies.join()).not.toContain("b.nl");
  expect(aliases()).toEqual(["@a.nl", "new-a.nl"]);
  expect(node.state).toEqual(await node.everything());
  for (const [domains, expected] of [
    [["b.nl"], ["@b.nl", "new-b.nl"]],
    ["all", ["@a.nl", "@b.nl", "new-a.nl", "new-b.nl"]],
    [["a.nl"], ["@a.nl", "new-a.nl"]],
  ]) {
    await set({ domains });
    expect((await node.poll()).kind).toBe("snapshot");
    expect(aliases().sort()).toEqual(expected);
    expect(node.state?.digest).toBe((await node.everything()).digest);
  }
});

test("a domain alias that goes over to another customer's domain leaves the node of the one and comes to that of the other", async () => {
  const { server, shell, set, node } = await twoCustomers();
  const { body } = await server.api("add-node", { name: "other" });
  const other = new SyncingNode(server.url, String(body.sync_key));
  await set({ domains: ["a.nl"] });
  await shell.must("set-node", { name: "other", domains: ["b.nl"] });
  const nodes = [node, other];
  const polled = async () => {
    const kinds = [];
    for (const one of nodes) kinds.push((await one.poll()).kind);
    return kinds;
  };
  await shell.must("set-domain-alias", { domain: "c.nl", of: "a.nl" });
  await polled();
  for (const of of ["b.nl", "a.nl", "b.nl"]) {
    await shell.must("set-domain-alias", { domain: "c.nl", of });
    expect(await polled()).toEqual(["delta", "delta"]);
    expect(nodes.map(({ state }) => [...(state?.domainAliases.values() ?? [])])).toEqual(
      ["a.nl", "b.nl"].map((own) => (own === of ? [{ domain_alias: "c.nl", of }] : [])),
    );
    for (const one of nodes) expect(one.state).toEqual(await one.everything());
  }
});

test("an MX-only node gets addresses and never a hash, in deltas too", async () => {
  const { shell, set, node } = await twoCustomers();
  await set({ role: "mx" });
  const first = await node.poll();
  await shell.must("add-user", { email: "piet@a.nl", password: PASSWORD });
  await shell.must("update-password", { email: "jan@a.nl", password: "another password" });
  await shell.must("remove-user", { email: "jan@b.nl" });
  const second = await node.poll();
  expect(second.kind).toBe("delta");
  expect(first.body + second.body).not.toMatch(/BLF|password|quota|mailbox/);
  expect(node.state).toEqual(await node.everything());
});

test("a node whose part changes gets its whole new part", async () => {
  const { set, node } = await twoCustomers();
  await node.poll();
  await set({ domains: ["b.nl"], role: "mx" });
  expect((await node.poll()).kind).toBe("snapshot");
  expect([...(node.state?.users.keys() ?? [])]).toEqual(["jan@b.nl"]);
  await set({ domains: "all", role: "mail" });
  expect((await node.poll()).kind).toBe("snapshot");
  expect(node.state?.users.size).toBe(2);
});

test("a node cannot be limited to an unregistered domain", async () => {
  const { set } = await twoCustomers();
  await expect(set({ domains: ["c.nl"] })).rejects.toMatchObject({ code: "domain_not_found" });
});

test("an operator's acceptance of removals reaches the node, with or without a change", async () => {
  const { shell, node } = await twoCustomers();
  await node.poll();
  const outcome = await shell.run("accept-removals", { name: "pi" });
  expect(outcome).toMatchObject({ ok: true, value: { names: ["pi"], revision: 4 } });
  const unchanged = await node.poll();
  expect([unchanged.status, unchanged.headers.get("m25-accept-removals")]).toEqual([304, "4;n=1"]);
  await shell.must("remove-user", { email: "jan@a.nl" });
  expect((await node.poll()).headers.get("m25-accept-removals")).toBe("4;n=1");
});
