/** The resident program and the real server, with restarts and faults between them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { thisMachine } from "../../src/machine/machine.ts";
import { main } from "../../src/node/cli.ts";
import { startServer } from "../support/server.ts";
import { passOn, realServer, runResident } from "./real-server.ts";
import { type Node, usersIn } from "./support.ts";

function addresses({ config }: Node): string[] {
  return usersIn(config.out).map(({ user }) => user);
}

/** A resident node that waits at the server. */
async function residentNode(users = ["jan@example.nl"], random = 0.2) {
  const real = await realServer(users, {
    parts: { clock: thisMachine.clock, random: () => random },
  });
  const { node, proxy } = real;
  runResident(node);
  await expect.poll(() => proxy.asked.at(-1)?.headers.prefer).toBe("wait=55");
  return real;
}

describe("the resident program", () => {
  it("goes on at once with the new key after rotate, and logs no refusal", async () => {
    const { proxy, node, must } = await residentNode();
    const { keyFile, server } = node.config;
    const argv = ["rotate", "--server", server.href, "--key-file", keyFile];
    expect(await main(argv, {}, node.machine, new AbortController().signal)).toBe(0);
    await must("add-user", { email: "els@example.nl", password: "correct horse" });
    await expect.poll(() => addresses(node)).toContain("els@example.nl");
    expect(node.log).toContain("the key was exchanged: going on with the fresh one");
    expect(node.log.join("\n")).not.toMatch(/\b401\b/);
    const waiting = () => proxy.asked.at(-1)?.headers;
    await expect
      .poll(waiting)
      .toMatchObject({ prefer: "wait=55", authorization: `Bearer ${readFileSync(keyFile, "utf8").trim()}` });
  });

  it("is back within seconds of the server's restart, and logs no failure", async () => {
    const { server, proxy, node } = await residentNode();
    await server.close();
    const again = await startServer({ db: server.database });
    proxy.target = again.url;
    await again.api("add-user", { email: "els@example.nl", password: "correct horse" });
    await expect.poll(() => addresses(node)).toContain("els@example.nl");
    expect(node.log.join("\n")).not.toContain("ended a wait");
  });

  it("is back within seconds after a lost connection and a short absence of the server", async () => {
    const { proxy, node, must, listed } = await residentNode();
    await proxy.close();
    await must("add-user", { email: "els@example.nl", password: "correct horse" });
    await expect.poll(() => node.log.filter((line) => line.includes("cannot be reached")).length).toBe(2);
    await proxy.open();
    await expect.poll(() => addresses(node)).toContain("els@example.nl");
    await expect.poll(listed).toMatchObject({ status: "current", reason: null });
  });

  it("behind a proxy that cuts waits off asks for shorter ones, and a change arrives as fast as before", async () => {
    const { proxy, node, must, listed } = await realServer(["jan@example.nl"], {
      parts: { clock: thisMachine.clock, random: () => 0 },
    });
    const cut = 6500;
    proxy.meddle = (request, response) => {
      setTimeout(() => {
        if (!response.headersSent) response.writeHead(504).end("<html>");
      }, cut).unref();
      passOn(proxy.target, request, response);
    };
    runResident(node);
    await expect.poll(() => proxy.asked.at(-1)?.headers.prefer).toBe("wait=5");
    expect(proxy.asked.map(({ headers }) => headers.prefer)).toEqual([
      undefined,
      "wait=55",
      undefined,
      "wait=55",
      undefined,
      "wait=5",
    ]);
    expect(node.log.join("\n")).toContain(
      "something, perhaps a proxy, ended a wait of 55 s for news after 7 s: asking for waits of 5 s",
    );
    await must("add-user", { email: "els@example.nl", password: "correct horse" });
    await expect.poll(() => addresses(node)).toContain("els@example.nl");
    await expect.poll(listed).toMatchObject({ status: "current", reason: null });
  });

  it("lets withheld removals go as soon as an operator accepts them at the server, even while it waits", async () => {
    const users = Array.from({ length: 8 }, (_, index) => `u${index}@example.nl`);
    const { proxy, node, must, listed } = await residentNode(users);
    await must("accept-removals", { name: "pi" });
    await expect.poll(() => proxy.asked.at(-1)?.headers["m25-accept-removals"]).toBe("9;n=1");
    for (const email of users) await must("remove-user", { email });
    await expect.poll(listed).toMatchObject({ reason: "removals_withheld" });
    await must("accept-removals", { name: "pi" });
    await expect.poll(() => addresses(node)).toEqual([]);
    await expect.poll(listed).toMatchObject({ status: "current", reason: null });
  });

  it("goes on waiting while acceptances arrive again and again and it withholds nothing", async () => {
    const { proxy, node, must } = await residentNode(["jan@example.nl"], 0.1);
    const told = (count: number) =>
      expect
        .poll(() => proxy.asked.at(-1)?.headers)
        .toMatchObject({
          prefer: "wait=55",
          "m25-accept-removals": `2;n=${count}`,
        });
    for (const count of [1, 2, 3]) {
      await must("accept-removals", { all: true });
      await told(count);
    }
    expect(node.log.join("\n")).not.toContain("asking each minute");
  });

  it("goes on waiting if a wrong list of domains, because of which it withholds removals, is corrected at once", async () => {
    const many = Array.from({ length: 8 }, (_, index) => `u${index}@example.nl`);
    const { proxy, node, must, listed } = await residentNode([...many, "jan@x.nl"], 0.9);
    await must("set-node", { name: "pi", domains: ["x.nl"] });
    await expect.poll(listed).toMatchObject({ reason: "removals_withheld" });
    const asked = proxy.asked.length;
    // The node has served the same all the time.
    await must("set-node", { name: "pi", domains: "all" });
    await expect.poll(() => proxy.asked.length).toBeGreaterThan(asked);
    await expect.poll(listed).toMatchObject({ reason: null });
    const hashOf = (email: string) => usersIn(node.config.out).find(({ user }) => user === email)?.password;
    const before = hashOf("jan@x.nl");
    await must("update-password", { email: "jan@x.nl", password: "another horse" });
    await expect.poll(() => hashOf("jan@x.nl")).not.toBe(before);
  });
});
