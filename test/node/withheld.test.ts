import { describe, expect, it } from "vitest";
import { main } from "../../src/node/cli.ts";
import { dryRun } from "../../src/node/commands/dry-run.ts";
import { acceptanceOf } from "../../src/sync/acceptance.ts";
import type { UserRecord } from "../../src/sync/records.ts";
import type { MailState } from "../support/answer-reader.ts";
import { hash, stateOf, user } from "./answers.ts";
import { daemons } from "./folder.ts";
import {
  answerProperly,
  expectedOf,
  type FakeServer,
  lastPollOf,
  type Node,
  nodeOf,
  picture,
  serves,
  startServer,
} from "./support.ts";

const ten = Array.from({ length: 10 }, (_, index) => `u${index}@example.nl`);
const full = stateOf(1, ["example.nl", "old.nl"], [...ten.map((name) => user(name)), user("last@old.nl")]);
/** Eight of eleven mailboxes and a domain are gone, one has another password, and one is new. */
const emptied = stateOf(
  2,
  ["example.nl", "new.nl"],
  [
    user("u0@example.nl", { password: hash("b") }),
    user("u1@example.nl"),
    user("u2@example.nl"),
    user("x@new.nl"),
  ],
);
const union = stateOf(
  2,
  ["example.nl", "new.nl", "old.nl"],
  [...new Map([...full.users, ...emptied.users]).values()],
);
/** Mailboxes removed by name keep their addresses, and cannot log in. */
const expected = {
  ...expectedOf(union),
  users: expectedOf(emptied).users,
  senders: expectedOf(emptied).senders,
};

async function nodeWith(
  state: MailState,
): Promise<{ server: FakeServer; node: Node; accepts(revision?: number): void }> {
  const server = await startServer(state);
  const node = nodeOf(server, {});
  expect((await node.poll()).exitCode).toBe(0);
  let header: string | undefined;
  let now: FakeServer["serves"] = state;
  Object.defineProperty(server, "serves", {
    get: () => (request: never, response: import("node:http").ServerResponse) => {
      if (header !== undefined) response.setHeader("m25-accept-removals", header);
      if (typeof now === "function") now(request, response);
      else answerProperly({ serves: now, remembers: server.remembers }, request, response);
    },
    set: (value: FakeServer["serves"]) => {
      now = value;
    },
  });
  return {
    server,
    node,
    accepts: (revision) => {
      header = revision === undefined ? undefined : acceptanceOf(revision, 1);
    },
  };
}

async function accept(node: Node): Promise<number> {
  return await main(["accept", "--out", node.config.out], {}, node.machine, new AbortController().signal);
}

describe("a server that has lost most of a node's users", () => {
  it("the node keeps serving them, applies all the rest, ends with 65 and tells how many", async () => {
    const { server, node } = await nodeWith(full);
    server.serves = emptied;
    expect(await node.poll()).toMatchObject({ exitCode: 65, news: "changed", reported: true });
    expect(serves(node.config.out)).toEqual(expected);
    expect(server.reports.at(-1)).toEqual({
      revision: 2,
      history: full.history,
      digest: emptied.digest,
      counts: { domains: 3, users: 12, aliases: 0, domain_aliases: 0 },
      status: "withheld",
      reason: "removals_withheld",
      count: 8,
      withheld: { domains: 1, users: 8, aliases: 0, domain_aliases: 0 },
      version: "dev",
    });
    expect(node.log.join("\n")).toContain("withheld: 8 addresses");
  });

  it("a poll without news ends with 65 again, writes nothing, and sends the server's own position", async () => {
    const { server, node } = await nodeWith(full);
    server.serves = emptied;
    await node.poll();
    const before = picture(node.config.out);
    expect(await node.poll()).toMatchObject({ exitCode: 65, news: "unchanged", reported: false });
    expect(picture(node.config.out)).toEqual(before);
    expect(server.requests.at(-1)?.url).toBe("/sync/v1/maps?since=cursor-2");
  });

  it("later changes go on: a remaining user's new password is applied, and returning users are as before", async () => {
    const { server, node } = await nodeWith(full);
    server.serves = emptied;
    await node.poll();
    const users = [...emptied.users.values()].map((record) => ({ ...record, password: hash("c") }));
    server.serves = stateOf(3, ["example.nl", "new.nl"], users as never);
    expect((await node.poll()).exitCode).toBe(65);
    const now = serves(node.config.out).users;
    expect(now.filter((record) => record.password === hash("c"))).toHaveLength(4);
    expect(now).toHaveLength(4);
    server.serves = { ...union, revision: 4, cursor: "cursor-4" };
    expect((await node.poll()).exitCode).toBe(0);
    expect(server.reports.at(-1)).toMatchObject({
      status: "applied",
      reason: null,
      count: null,
      revision: 4,
    });
  });

  it("m25-mail-node accept lets them go at the next poll, even while the server is away", async () => {
    for (const away of [false, true]) {
      const { server, node } = await nodeWith(full);
      server.serves = emptied;
      await node.poll();
      expect(await accept(node)).toBe(0);
      expect(node.printed.join("")).toBe(
        "accepted: 8 addresses to be removed with the next poll, which comes at once where the program runs\n",
      );
      if (away) server.serves = (_, response) => response.writeHead(503).end();
      expect((await node.poll()).exitCode).toBe(away ? 75 : 0);
      expect(serves(node.config.out)).toEqual(expectedOf(emptied));
      server.serves = emptied;
      expect((await node.poll()).exitCode).toBe(0);
      expect(server.reports.at(-1)).toMatchObject({ status: "applied", revision: 2, digest: emptied.digest });
    }
  });

  it("an acceptance is reported to the server and shown by status at once, without a wait for other news", async () => {
    for (const away of [false, true]) {
      const { server, node } = await nodeWith(full);
      server.serves = emptied;
      await node.poll();
      await accept(node);
      server.reports.length = 0;
      if (away) server.serves = (_, response) => response.writeHead(503).end();
      const polled = await node.poll({ quiet: true, wait: 55 });
      expect(server.requests.at(-1)?.headers).not.toHaveProperty("prefer");
      const last = lastPollOf(node.config.out);
      if (away) expect(last).toMatchObject({ exit_code: 75, answer: 503, reason: null });
      else {
        expect(polled).toMatchObject({ exitCode: 0, news: "changed", reported: true });
        expect(server.reports).toMatchObject([{ status: "applied", revision: 2, digest: emptied.digest }]);
        expect(last).toMatchObject({ exit_code: 0, reason: null });
        await node.poll({ quiet: true, wait: 55 });
        expect(server.requests.at(-1)?.headers.prefer).toBe("wait=55");
      }
    }
  });

  it('one withheld user is "1 address", in the log and when accepted', async () => {
    const { server, node } = await nodeWith(full);
    node.config.thresholds = { percent: 0, users: 0 };
    const users = [...full.users.values()].slice(0, -1) as UserRecord[];
    server.serves = stateOf(2, ["example.nl", "old.nl"], users);
    expect((await node.poll()).exitCode).toBe(65);
    expect(node.log.join("\n")).toContain(
      "withheld: 1 address that the server no longer has, still in service;",
    );
    await accept(node);
    expect(node.printed.join("")).toMatch(/^accepted: 1 address to be removed with the next poll/);
  });

  it("accept with nothing withheld says so, and does not cover later removals", async () => {
    const { server, node } = await nodeWith(full);
    expect(await accept(node)).toBe(0);
    expect(node.printed).toEqual(["nothing is withheld\n"]);
    server.serves = emptied;
    expect((await node.poll()).exitCode).toBe(65);
    expect(
      await main(
        ["accept", "--out", `${node.config.out}-not`],
        {},
        node.machine,
        new AbortController().signal,
      ),
    ).toBe(78);
  });

  it("an acceptance at the node also counts while the server's answer is on its way", async () => {
    const { server, node } = await nodeWith(full);
    server.serves = emptied;
    expect((await node.poll()).exitCode).toBe(65);
    const later = stateOf(3, ["example.nl", "new.nl"], [...emptied.users.values(), user("y@new.nl")]);
    server.serves = async (request, response) => {
      expect(await accept(node)).toBe(0);
      answerProperly({ serves: later, remembers: server.remembers }, request, response);
    };
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(later));
  });

  it("an acceptance at the server lets them go, with an answer or without news", async () => {
    for (const first of [true, false]) {
      const { server, node, accepts } = await nodeWith(full);
      server.serves = emptied;
      if (!first) {
        accepts(1);
        expect((await node.poll()).exitCode).toBe(65);
        expect((await node.poll()).exitCode).toBe(65);
      }
      accepts(2);
      expect(await node.poll()).toMatchObject({ exitCode: 0, news: "changed", reported: true });
      expect(serves(node.config.out)).toEqual(expectedOf(emptied));
      expect(server.reports.at(-1)).toMatchObject({ status: "applied", digest: emptied.digest });
    }
  });

  it("with --accept local only an acceptance at the node lets them go, whatever the server says", async () => {
    const { server, node, accepts } = await nodeWith(full);
    node.config.acceptLocally = true;
    server.serves = emptied;
    accepts(1);
    expect((await node.poll()).exitCode).toBe(65);
    for (const revision of [2, 9]) {
      accepts(revision);
      expect((await node.poll()).exitCode).toBe(65);
      expect(serves(node.config.out)).toEqual(expected);
    }
    await accept(node);
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(emptied));
  });

  it("another server's empty state, under another key, takes nothing away", async () => {
    const { server, node } = await nodeWith(full);
    server.serves = stateOf(1, [], [], { history: "f".repeat(32) });
    expect((await node.poll()).exitCode).toBe(65);
    expect(serves(node.config.out)).toEqual(expectedOf(full));
  });

  it("--dry-run tells how many would stay", async () => {
    const { server, node } = await nodeWith(full);
    server.serves = emptied;
    await dryRun(node.machine, node.config, { version: "dev" });
    expect(node.printed.join("")).toContain("withheld, still in service: 8 addresses\n");
  });
});

describe("a server that has lost a node's aliases", () => {
  const jan = "jan@example.nl";
  /** Six aliases, a catch-all and a domain alias. */
  const lost = {
    mail: ["", "a", "b", "c", "d", "e", "f"].map((name) => ({
      alias: `${name}@example.nl`,
      targets: [jan],
      send_as: false,
    })),
    mx: ["", "a", "b", "c", "d", "e", "f"].map((name) => ({ alias: `${name}@example.nl`, live: true })),
  };
  const domainAliases = [{ domain_alias: "example.com", of: "example.nl" }];

  it.each(["mail", "mx"] as const)(
    "they count as addresses and their mail is accepted until somebody lets them go (%s)",
    async (role) => {
      const users = [role === "mail" ? user(jan) : { user: jan }];
      const before = stateOf(1, ["example.nl"], users, { role, aliases: lost[role], domainAliases });
      const { server, node } = await nodeWith(before);
      const { out } = node.config;
      const answers = () => ({
        named: ["a@example.nl", "f@example.com", "anybody@example.com"].map((one) => daemons.leads(out, one)),
        domain: daemons.domain(out, "example.com"),
        mailbox: [jan, "jan@example.com"].map((one) => daemons.mailbox(out, one)),
      });
      const leads = role === "mail" ? [jan] : ["mailbox node"];
      const all = { named: [leads, leads, leads], domain: ["OK"], mailbox: [["OK"], ["OK"]] };
      expect(answers()).toEqual(all);
      server.serves = stateOf(2, ["example.nl"], users, { role });
      expect((await node.poll()).exitCode).toBe(65);
      expect(server.reports.at(-1)).toMatchObject({
        reason: "removals_withheld",
        count: 8,
        counts: { aliases: 7, domain_aliases: 1, users: 1 },
        withheld: { domains: 0, users: 0, aliases: 7, domain_aliases: 1 },
      });
      expect(answers()).toEqual(all);
      expect(await accept(node)).toBe(0);
      expect((await node.poll()).exitCode).toBe(0);
      expect(answers()).toEqual({ named: [[], [], []], domain: [], mailbox: [["OK"], []] });
      expect(server.reports.at(-1)).toMatchObject({
        counts: { aliases: 0, domain_aliases: 0 },
        reason: null,
      });
    },
  );

  it("an alias whose mailboxes are withheld leads to them until somebody lets them go", async () => {
    const names = ["a", "b", "c", "d", "e", "f"].map((name) => `${name}@example.nl`);
    const aliasTo = (targets: string[]) => ({
      aliases: [{ alias: "all@example.nl", targets, send_as: false }],
    });
    const users = names.map((name) => user(name));
    const { server, node } = await nodeWith(
      stateOf(1, ["example.nl"], [...users, user(jan)], aliasTo(names)),
    );
    server.serves = stateOf(2, ["example.nl"], [user(jan)], aliasTo([]));
    expect((await node.poll()).exitCode).toBe(65);
    expect(daemons.leads(node.config.out, "all@example.nl")).toEqual(names);
    expect(await accept(node)).toBe(0);
    expect((await node.poll()).exitCode).toBe(0);
    expect(daemons.leads(node.config.out, "all@example.nl")).toEqual([]);
  });
});
