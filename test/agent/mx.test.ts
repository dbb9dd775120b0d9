import { describe, expect, it } from "vitest";
import { main } from "../../src/agent/cli.ts";
import type { Host } from "../../src/agent/host.ts";
import {
  expectedOf,
  mapContent,
  type Node,
  nodeOf,
  picture,
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
    expect(node.log.join("\n")).toContain("this node is an mx now: users and senders stay, not kept up");
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

  describe("keeps the password hashes", () => {
    const HOUR = 3_600_000;

    /** A node that has become an mx, and whose Dovecot says what `home` says. */
    async function formerNode(home: () => string | undefined, doveadm = true) {
      const clock = { now: 1_900_000_000_000 };
      const server = await startServer({ ...mail, revision: 1, cursor: "cursor-1" });
      const node = nodeOf(server, { clock: { ...quickClock, now: () => clock.now } });
      const { run, find } = node.host;
      node.host.find = async (command) =>
        command === "doveadm" ? (doveadm ? "/pretended/doveadm" : undefined) : find(command);
      node.host.run = async (command, args, options) => {
        if (!command.endsWith("doveadm")) return run(command, args, options);
        const found = home();
        return { code: found === undefined ? 75 : 0, stdout: `${found ?? ""}\n`, stderr: "" };
      };
      await node.poll();
      server.serves = { ...relay, revision: 2, cursor: "cursor-2" };
      expect((await node.poll()).exitCode).toBe(0);
      const pass = async (hours: number): Promise<void> => {
        for (let hour = 0; hour < hours; hour += 1) {
          clock.now += HOUR;
          expect((await node.poll()).exitCode).toBe(0);
        }
      };
      const status = async (): Promise<string> => {
        node.printed.length = 0;
        await main(["status", "--out", node.config.out], {}, node.host, new AbortController().signal);
        return node.printed.join("");
      };
      return { node, server, pass, status };
    }

    /** The files that hold a hash. */
    function hashesIn(node: Node): string[] {
      const files = Object.entries(picture(node.config.out));
      return files.filter(([, look]) => look.includes("BLF-CRYPT")).map(([name]) => name);
    }

    it.each([true, false])(
      "for a day after the change, and then in no file at all (doveadm installed: %s)",
      async (doveadm) => {
        const { node, pass, status } = await formerNode(() => undefined, doveadm);
        await pass(23);
        expect(hashesIn(node)).toEqual(["users"]);
        expect(await status()).toContain("former      senders.lmdb, senders, users");
        await pass(1);
        expect(hashesIn(node)).toEqual([]);
        expect(Object.keys(served(node.config.out)).sort()).toEqual([
          "domains",
          "domains.lmdb",
          "mailboxes",
          "mailboxes.lmdb",
        ]);
        expect(node.log.join("\n")).toContain("removed users and senders");
        expect(await status()).not.toContain("former");
        const settled = picture(node.config.out);
        expect((await node.poll()).exitCode).toBe(0);
        expect(picture(node.config.out)).toEqual(settled);
      },
    );

    it("as long as Dovecot serves from them, and for a day after: a role set by mistake takes nobody's mailbox away", async () => {
      const home = `/var/vmail/new.nl/els.${"0".repeat(16)}`;
      let says: string | undefined = home;
      const { node, pass } = await formerNode(() => says);
      await pass(60);
      expect(hashesIn(node)).toEqual(["users"]);
      // It serves from elsewhere.
      says = "/home/els";
      await pass(23);
      expect(hashesIn(node)).toEqual(["users"]);
      await pass(1);
      expect(hashesIn(node)).toEqual([]);
    });

    it("while anybody is withheld, also in what it keeps for itself", async () => {
      const { node, server, pass } = await formerNode(() => undefined);
      const many = Array.from({ length: 10 }, (_, index) => user(`u${index}@example.nl`));
      server.serves = stateOf(3, ["example.nl"], many);
      expect((await node.poll()).exitCode).toBe(0);
      server.serves = stateOf(4, [], [], { role: "mx" });
      for (let hour = 0; hour < 30; hour += 1) {
        node.host.clock = { ...node.host.clock };
        expect((await node.poll()).exitCode).toBe(65);
      }
      expect(hashesIn(node).sort()).toEqual(["snapshot.ndjson", "users"]);
      server.serves = stateOf(
        5,
        ["example.nl"],
        many.map(({ user }) => ({ user })),
        { role: "mx" },
      );
      await pass(25);
      expect(hashesIn(node)).toEqual([]);
      // And back, which makes everything anew.
      server.serves = stateOf(6, ["example.nl"], many);
      expect((await node.poll()).exitCode).toBe(0);
      expect(serves(node.config.out)).toEqual(expectedOf(server.serves));
    });
  });

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
