import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Machine } from "../../src/machine/machine.ts";
import { homeOf, stateOf, user } from "./answers.ts";
import { daemons, served } from "./folder.ts";
import { nodeOf, quickClock, startServer } from "./support.ts";

const addresses = ["els@new.nl", "jan@example.nl", "piet@example.nl"];
const domains = ["example.nl", "new.nl"];
const asMx = (revision: number, names = addresses) =>
  stateOf(
    revision,
    domains,
    names.map((name) => ({ user: name })),
    { role: "mx" },
  );
const asMail = (revision: number, names = addresses) =>
  stateOf(
    revision,
    domains,
    names.map((name) => user(name)),
  );

describe("a node that only relays", () => {
  it("has addresses and no login", async () => {
    const server = await startServer(asMx(1));
    const node = nodeOf(server);
    const { out } = node.config;
    expect((await node.poll()).exitCode).toBe(0);
    expect(served(out)).toEqual({ addresses, logins: [], domains });
    server.serves = asMx(2, ["jan@example.nl", "mia@example.nl"]);
    expect((await node.poll()).exitCode).toBe(0);
    expect(served(out).addresses).toEqual(["jan@example.nl", "mia@example.nl"]);
    expect(existsSync(join(out, "logins.db"))).toBe(false);
    expect(server.reports.at(-1)).toMatchObject({ status: "applied", counts: { domains: 2, users: 2 } });
  });

  it("refuses a hash that is sent to it", async () => {
    const server = await startServer({ ...asMail(2), role: "mx" });
    const node = nodeOf(server);
    expect((await node.poll()).exitCode).toBe(65);
    expect(server.reports.at(-1)).toMatchObject({ reason: "damaged_record" });
  });
});

describe("a node whose role changes", () => {
  it("from mx to mail: everybody can log in, and the state of the mx goes", async () => {
    const server = await startServer(asMx(1));
    const node = nodeOf(server);
    await node.poll();
    server.serves = asMail(2);
    expect((await node.poll()).exitCode).toBe(0);
    expect(served(node.config.out)).toEqual({ addresses, logins: addresses, domains });
    expect(existsSync(join(node.config.out, "node.db"))).toBe(false);
  });

  /** A node that has become an mx. Each poll takes one counted hour, and its Dovecot answers `home`. */
  async function formerNode(home: () => string, before = asMail(1), after = asMx(2)) {
    const clock = { now: 1_900_000_000_000 };
    const server = await startServer(before);
    const parts: Partial<Machine> = { clock: { ...quickClock, now: () => clock.now } };
    const node = nodeOf(server, parts);
    const { find, run } = node.machine;
    node.machine.find = async (command) => (command === "doveadm" ? "/pretended/doveadm" : find(command));
    node.machine.run = async (command, args) =>
      command.endsWith("doveadm")
        ? { code: 0, stdout: args.includes("user") ? `field\tvalue\nhome\t${home()}\n` : "", stderr: "" }
        : run(command, args);
    await node.poll();
    server.serves = after;
    await node.poll();
    const hours = async (count: number) => {
      for (let hour = 0; hour < count; hour += 1) {
        clock.now += 3_600_000;
        await node.poll();
      }
    };
    return { node, server, hours };
  }

  it("from mail to mx: the logins stay unchanged for a day after Dovecot last used them, and then go", async () => {
    let home = homeOf("els@new.nl");
    const first = homeOf("jan@example.nl");
    const { node, hours } = await formerNode(() => (home === "" ? "" : first));
    const { out } = node.config;
    expect(node.log.join()).toContain("this node is an mx now");
    await hours(30);
    expect(daemons.login(out, "jan@example.nl")).toHaveLength(1);
    home = "";
    await hours(22);
    expect(existsSync(join(out, "logins.db"))).toBe(true);
    await hours(3);
    expect(existsSync(join(out, "logins.db"))).toBe(false);
    expect(served(out).addresses).toEqual(addresses);
  });

  it("from mail to mx, and addresses.db is lost: the mx's addresses are served, and the logins stay", async () => {
    const more = [...addresses, "els@example.nl"];
    const { node, server } = await formerNode(() => homeOf("jan@example.nl"), asMail(1), asMx(2, more));
    const { out } = node.config;
    for (const end of ["", "-wal", "-shm"]) rmSync(join(out, `addresses.db${end}`));
    server.serves = (_, response) => void response.writeHead(503).end();
    await node.poll();
    expect(served(out)).toMatchObject({ addresses: more.sort(), logins: addresses });
  });

  it("from mail to mx, while removals are withheld: the logins stay, however long that is", async () => {
    const many = Array.from({ length: 10 }, (_, index) => `u${index}@example.nl`);
    const { node, server, hours } = await formerNode(() => "", asMail(1, many), asMx(2, []));
    const { out } = node.config;
    await hours(30);
    expect(daemons.login(out, "u1@example.nl")).toHaveLength(1);
    expect(served(out).addresses).toEqual(many);
    server.serves = asMx(3, many);
    await hours(26);
    expect(existsSync(join(out, "logins.db"))).toBe(false);
  });

  it("from mail to mx and back, while removals are withheld: everybody keeps their login", async () => {
    const many = Array.from({ length: 10 }, (_, index) => `u${index}@example.nl`);
    const server = await startServer(asMail(1, many));
    const node = nodeOf(server);
    await node.poll();
    for (const state of [asMx(2, []), asMail(3, [])]) {
      server.serves = state;
      expect((await node.poll()).exitCode).toBe(65);
      expect(served(node.config.out)).toEqual({ addresses: many, logins: many, domains });
    }
  });

  it("from mail to mx and back: a mailbox removed by name meanwhile has no login, even while it is withheld", async () => {
    const many = Array.from({ length: 10 }, (_, index) => `u${index}@example.nl`);
    const server = await startServer(asMail(1, many));
    const node = nodeOf(server);
    await node.poll();
    for (const state of [asMx(2, many), asMx(3, many.slice(8)), asMail(4, many.slice(8))]) {
      server.serves = state;
      await node.poll();
    }
    expect(served(node.config.out)).toEqual({ addresses: many, logins: many.slice(8), domains });
  });
});
