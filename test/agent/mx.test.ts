import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Host } from "../../src/agent/host.ts";
import { breaking } from "./breaking.ts";
import {
  expectedOf,
  hash,
  mapContent,
  type Node,
  nodeOf,
  quickClock,
  served,
  serves,
  startServer,
  stateOf,
  user,
  usersIn,
} from "./support.ts";

const addresses = ["els@new.nl", "jan@example.nl", "piet@example.nl"];
const relay = stateOf(
  1,
  ["example.nl", "new.nl"],
  addresses.map((name) => ({ user: name })),
  { role: "mx" },
);
const mail = stateOf(
  2,
  ["example.nl", "new.nl"],
  addresses.map((name) => user(name)),
);
const relayAgain = { ...relay, revision: 3, cursor: "cursor-3" };

function keys(node: Node): Record<string, string[]> {
  const of = (map: string): string[] => [...(mapContent(node.config.out, map)?.keys() ?? [])];
  return { mailboxes: of("mailboxes"), domains: of("domains") };
}

/** A node whose waits and commands are noted. */
function watched(server: { url: URL }): { node: Node; events: string[] } {
  const events: string[] = [];
  const node = nodeOf(server);
  const { run, find } = node.host;
  const parts: Partial<Host> = {
    find: async (command) => (command === "doveadm" ? "/pretended/doveadm" : find(command)),
    run: async (command, args, options) => {
      if (!command.endsWith("doveadm")) return run(command, args, options);
      events.push(`doveadm ${args.join(" ")}`);
      return { code: 0, stdout: "", stderr: "" };
    },
    clock: { ...quickClock, sleep: async () => void events.push("sleep") },
  };
  Object.assign(node.host, parts);
  return { node, events };
}

describe("a node that only relays", () => {
  it("gets domains and mailboxes, and never users or senders; it waits for nobody and ends no session", async () => {
    const server = await startServer(relay);
    const { node, events } = watched(server);
    expect((await node.poll()).exitCode).toBe(0);
    expect(Object.keys(served(node.config.out)).sort()).toEqual([
      "domains",
      "domains.lmdb",
      "mailboxes",
      "mailboxes.lmdb",
    ]);
    expect(keys(node)).toEqual({ mailboxes: addresses, domains: ["example.nl", "new.nl"] });
    server.serves = stateOf(2, ["example.nl"], [{ user: "jan@example.nl" }, { user: "mia@example.nl" }], {
      role: "mx",
    });
    expect((await node.poll()).exitCode).toBe(0);
    expect(keys(node)).toEqual({ mailboxes: ["jan@example.nl", "mia@example.nl"], domains: ["example.nl"] });
    expect(events).toEqual([]);
    expect(server.reports.at(-1)).toMatchObject({ status: "applied", counts: { domains: 1, users: 2 } });
  });

  it("makes its own files anew, and misses none that it does not write", async () => {
    const server = await startServer(relay);
    const node = nodeOf(server);
    await node.poll();
    node.log.length = 0;
    await node.poll();
    expect(node.log).toEqual(["nothing has changed since revision 1"]);
  });

  it("refuses a hash that is sent to it", async () => {
    const server = await startServer({ ...mail, role: "mx" });
    const node = nodeOf(server);
    expect((await node.poll()).exitCode).toBe(65);
    expect(server.reports.at(-1)).toMatchObject({ reason: "damaged_record" });
  });
});

describe("a node whose role changes", () => {
  it("from mail to mx: users and senders stay where they are, and the maps are kept up", async () => {
    const server = await startServer({ ...mail, revision: 1, cursor: "cursor-1" });
    const { node, events } = watched(server);
    await node.poll();
    events.length = 0;
    const before = served(node.config.out);
    server.serves = { ...relay, revision: 2, cursor: "cursor-2" };
    expect((await node.poll()).exitCode).toBe(0);
    expect(served(node.config.out)).toEqual(before);
    expect(node.log.join("\n")).toContain("this node is an mx now: users and senders stay as they are");
    server.serves = stateOf(3, ["example.nl"], [{ user: "mia@example.nl" }], { role: "mx" });
    expect((await node.poll()).exitCode).toBe(0);
    expect(keys(node)).toEqual({ mailboxes: ["mia@example.nl"], domains: ["example.nl"] });
    expect(usersIn(node.config.out)).toHaveLength(3);
    expect(events).toEqual([]);
  });

  it("from mx to mail: Dovecot knows everybody, and has looked, before Postfix's maps are touched", async () => {
    const server = await startServer(relay);
    const { node, events } = watched(server);
    await node.poll();
    const { files } = node.host;
    node.host.files = {
      ...files,
      rename: async (from, to) => {
        await files.rename(from, to);
        events.push(to.replace(/.*\//, ""));
      },
    };
    server.serves = mail;
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(mail));
    const order = events.filter((event) => ["users", "sleep", "mailboxes", "senders"].includes(event));
    expect(order).toEqual(["users", "sleep", "mailboxes", "senders"]);
    expect(events.join()).not.toContain("kick");
  });

  it("there and back, killed at any step: whoever Postfix knows Dovecot knows", async () => {
    const begin = async () => {
      const server = await startServer(relay);
      const node = nodeOf(server, { lock: async () => ({ fd: -1, release: async () => undefined }) });
      await node.poll();
      server.serves = mail;
      return { server, node };
    };
    const trial = await begin();
    const { host, steps } = breaking(trial.node.host);
    await trial.node.poll({ host });
    for (let step = 1; step <= steps.length; step += 3) {
      const { server, node } = await begin();
      await node.poll({ host: breaking(node.host, { step, kind: { kill: "after" } }).host });
      if (existsSync(join(node.config.out, "senders")))
        expect(usersIn(node.config.out), steps[step - 1]).toHaveLength(3);
      expect((await node.poll()).exitCode).toBe(0);
      expect(serves(node.config.out), steps[step - 1]).toEqual(expectedOf(mail));
      server.serves = relayAgain;
      expect((await node.poll()).exitCode).toBe(0);
      expect(serves(node.config.out)).toEqual(expectedOf(mail));
      const later = [user("jan@example.nl", { password: hash("b") }), user("mia@example.nl")];
      server.serves = stateOf(4, ["example.nl"], later);
      expect((await node.poll()).exitCode).toBe(0);
      expect(serves(node.config.out)).toEqual(expectedOf(server.serves));
    }
  }, 60_000);

  it("a role that takes the users away with it: they stay, withheld, with the hashes they had", async () => {
    const many = Array.from({ length: 10 }, (_, index) => user(`u${index}@example.nl`));
    const server = await startServer(stateOf(1, ["example.nl"], many));
    const node = nodeOf(server);
    await node.poll();
    server.serves = stateOf(2, [], [], { role: "mx" });
    expect((await node.poll()).exitCode).toBe(65);
    expect(keys(node).mailboxes).toHaveLength(10);
    server.serves = stateOf(3, [], []);
    expect((await node.poll()).exitCode).toBe(65);
    expect(serves(node.config.out)).toEqual(expectedOf(stateOf(1, ["example.nl"], many)));
  });
});
