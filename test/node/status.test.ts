import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { main } from "../../src/node/cli.ts";
import type { Status } from "../../src/node/commands/status-text.ts";
import { HISTORY, stateOf, user } from "./answers.ts";
import { temporaryFolder } from "./folder.ts";
import { KEY, lastPollOf, maps, type Node, nodeOf, quickClock, startServer } from "./support.ts";

const many = Array.from({ length: 20 }, (_, index) => user(`user${index}@example.nl`));
const one = stateOf(7, ["example.nl"], many);
const never = new AbortController().signal;

/** The output and exit code of `status`. */
async function statusOf(node: Node, ...flags: string[]): Promise<{ code: number; text: string }> {
  node.printed.length = 0;
  const code = await main(["status", "--out", node.config.out, ...flags], {}, node.machine, never);
  return { code, text: node.printed.join("") };
}

async function jsonOf(node: Node): Promise<Status> {
  return JSON.parse((await statusOf(node, "--json")).text) as Status;
}

/** A node that has applied the first state; its clock is at `clock.now`. */
async function polled() {
  const clock = { now: 1_900_000_000_000 };
  const server = await startServer(one);
  const node = nodeOf(server, {
    ...{},
    clock: { ...quickClock, now: () => clock.now },
  });
  expect((await node.poll()).exitCode).toBe(0);
  return { node, server, clock };
}

describe("status", () => {
  it("shows the served state, its age, and that all is well, in about ten lines", async () => {
    const { node, clock } = await polled();
    clock.now += 90_000;
    const { code, text } = await statusOf(node);
    expect(code).toBe(0);
    expect(text.replace(/^m25-mail-node .*\n/, "").replaceAll(node.config.out, "OUT")).toBe(
      [
        "folder      OUT",
        "serves      1 domain, 20 mailboxes",
        `revision    7 of history ${HISTORY.slice(0, 8)}`,
        "since       2030-03-17T17:46:40.000Z (1 minute ago)",
        "withheld    nothing",
        "last poll   2030-03-17T17:46:40.000Z (1 minute ago): 200, applied",
        "reported    to the server at 2030-03-17T17:46:40.000Z (1 minute ago): this state is in service",
        "in short    all was well at the last poll",
        "",
      ].join("\n"),
    );
  });

  it("as JSON is the same in one object, without a hash or a key", async () => {
    const { node } = await polled();
    await node.poll();
    const status = await jsonOf(node);
    expect(status).toMatchObject({
      serving: { domains: 1, users: 20, revision: 7, history: HISTORY },
      role: "mail",
      withheld: null,
      unproved: false,
      last_poll: { exit_code: 0, answer: 304, reason: null, count: null, message: null },
      unreadable: [],
      unwritable: null,
      exit_code: 0,
    });
    expect(JSON.stringify(status)).not.toMatch(/BLF-CRYPT|m25test/);
  });

  it("shows how many removals are withheld, since when, and how to accept them", async () => {
    const { node, server, clock } = await polled();
    server.serves = stateOf(8, ["example.nl"], many.slice(0, 3));
    expect((await node.poll()).exitCode).toBe(65);
    clock.now += 2 * 3_600_000;
    await node.poll();
    const { code, text } = await statusOf(node);
    expect(code).toBe(65);
    expect(text).toContain(
      "withheld    17 addresses that the server no longer has, since 2030-03-17T17:46:40.000Z (2 hours ago); " +
        `none of them can log in; to remove them: m25-mail-node accept --out ${node.config.out}\n`,
    );
    expect(text).toContain("reason      removals_withheld (17)\n");
    expect(text).toMatch(/^message +withheld: 17 addresses that the server no longer has/m);
    expect((await jsonOf(node)).withheld).toMatchObject({
      addresses: 17,
      users: 17,
      aliases: 0,
      first: 8,
      last: 8,
    });
    const proper = server.serves;
    server.serves = (_, response) => void response.writeHead(403).end();
    await node.poll();
    const away = await statusOf(node);
    expect(away.code).toBe(77);
    expect(away.text).toContain("in short    the server does not accept this node's key or address");
    expect(away.text).toContain("withheld    17 addresses");
    server.serves = proper;
    await node.poll();
    expect((await statusOf(node)).code).toBe(65);
  });

  it("after accept shows the acceptance in every line, until the next poll has carried it out", async () => {
    const { node, server } = await polled();
    server.serves = stateOf(8, ["example.nl"], many.slice(0, 3));
    await node.poll();
    expect(await main(["accept", "--out", node.config.out], {}, node.machine, never)).toBe(0);
    const soon = "with the next poll, which comes at once where the program runs\n";
    expect(node.printed.join("")).toBe(`accepted: 17 addresses to be removed ${soon}`);
    const { code, text } = await statusOf(node);
    expect(code).toBe(65);
    expect(text).toContain(`(just now); none of them can log in; accepted: they are removed ${soon}`);
    expect(text).toContain(
      "in short    the withheld removals were accepted, and the next poll carries them out;",
    );
    expect(text.match(/withheld/g)).toHaveLength(2);
    expect(text).not.toContain("node accept");
    await node.poll({ quiet: true });
    const after = await statusOf(node);
    expect(after.code).toBe(0);
    expect(after.text).toContain("serves      1 domain, 3 mailboxes\n");
    expect(after.text).toContain("withheld    nothing\n");
    expect(after.text).toContain("in short    all was well at the last poll\n");
    expect(after.text).not.toContain("accepted");
  });

  it("shows that Dovecot does not answer, from the change that was looked up until it answers", async () => {
    const { node, server } = await polled();
    const { find, run } = node.machine;
    let silent = true;
    node.machine.find = async (command) =>
      command === "doveadm" ? "/pretended/doveadm" : await find(command);
    node.machine.run = async (command, args, options) => {
      if (!command.endsWith("/doveadm")) return await run(command, args, options);
      const stderr =
        "doveadm: Error: auth-master: connect(/run/dovecot/auth-userdb) failed: Connection refused";
      return silent
        ? { code: 75, stdout: "", stderr }
        : { code: 0, stdout: "/var/vmail/01/0123456789abcdef\n", stderr: "" };
    };
    node.log.length = 0;
    server.serves = stateOf(8, ["example.nl"], [...many, user("new@example.nl")]);
    const away = "Dovecot does not answer: is it running?";
    for (const _ of ["when it is applied", "when nothing is new"]) {
      expect((await node.poll({ quiet: true })).exitCode).toBe(0);
      const { code, text } = await statusOf(node);
      expect(code).toBe(0);
      expect(text).toContain(`not confirmed the last change yet: the next poll looks again. ${away}\n`);
      expect(text).toContain("in short    all was well at the last poll, except Dovecot\n");
      expect(await jsonOf(node)).toMatchObject({ unproved: true, last_poll: { dovecot: away } });
    }
    const proper = server.serves;
    server.serves = (_, response) => void response.writeHead(503).end();
    await node.poll({ quiet: true });
    expect((await statusOf(node)).text).toContain(away);
    server.serves = proper;
    silent = false;
    await node.poll({ quiet: true });
    expect(await jsonOf(node)).toMatchObject({ unproved: false, exit_code: 0, last_poll: { dovecot: null } });
    expect((await statusOf(node)).text).toContain("in short    all was well at the last poll\n");
    expect(node.log.filter((line) => line.includes("Dovecot"))).toEqual([
      `warning: ${away}`,
      "Dovecot answers again",
    ]);
  });

  it("shows the server's last answer, and ends with that poll's exit code", async () => {
    const { node, server } = await polled();
    const answers: [number, number, string][] = [
      [401, 77, "the server answered 401"],
      [503, 75, "the server answered 503"],
      [404, 65, "the server answered 404"],
    ];
    for (const [status, exit, words] of answers) {
      server.serves = (_, response) => void response.writeHead(status).end();
      expect((await node.poll()).exitCode).toBe(exit);
      const { code, text } = await statusOf(node);
      expect(code).toBe(exit);
      expect(text).toContain(words);
      expect(text).toMatch(new RegExp(`^message .*the server.*${status}`, "m"));
    }
    server.serves = (_, response) =>
      void response.writeHead(200, { "content-type": "application/x-ndjson" }).end("half");
    await node.poll();
    expect(await jsonOf(node)).toMatchObject({
      exit_code: 65,
      last_poll: { answer: 200, exit_code: 65, reason: "not_maps" },
      serving: { revision: 7 },
    });
    await server.close();
    await node.poll();
    const { code, text } = await statusOf(node);
    expect(code).toBe(75);
    expect(text).toContain("no answer from the server");
  });

  it("of a node whose program stopped six minutes ago is not well, and shows that no poll was noted since", async () => {
    const { node, clock } = await polled();
    clock.now += 360_000;
    expect((await statusOf(node)).code).toBe(0);
    clock.now += 1;
    const { code, text } = await statusOf(node);
    expect(code).toBe(75);
    expect(text).toContain("(6 minutes ago): 200, applied; no poll since\n");
    expect(text).toContain("in short    no poll for over 6 minutes: check that the program runs\n");
  });

  it("of a node that the server told to come back in an hour misses no poll before then, even if it had waited", async () => {
    const { node, server, clock } = await polled();
    server.serves = (_, response) => void response.writeHead(503, { "Retry-After": "3600" }).end();
    for (const wait of [0, 55]) {
      clock.now += 60_000;
      await node.poll({ quiet: true, wait });
      clock.now += 3_900_000;
      const { code, text } = await statusOf(node);
      expect(code).toBe(75);
      expect(text).toContain("(1 hour ago): the server answered 503\n");
      clock.now += 500_000;
      expect((await statusOf(node)).text).toContain("the server answered 503; no poll since\n");
    }
    server.serves = (_, response) => void response.writeHead(503, { "Retry-After": "5" }).end();
    const before = await lastPollOf(node.config.out);
    clock.now += 60_000;
    await node.poll({ quiet: true, wait: 55 });
    expect(await lastPollOf(node.config.out)).toEqual(before);
  });

  it("of a folder without a state tells the next step", async () => {
    const node = nodeOf({ url: new URL("http://127.0.0.1:1/") });
    for (const out of [node.config.out, temporaryFolder()]) {
      node.config.out = out;
      const { code, text } = await statusOf(node);
      expect(code).toBe(78);
      expect(text).toContain("nothing: no poll has applied anything yet");
    }
  });
});

describe("a poll that waits while the key is rotated", () => {
  it("asks again at once with the new key", async () => {
    const { node, server } = await polled();
    const next = stateOf(8, ["example.nl"], [...many, user("new@example.nl")]);
    const keys: (string | undefined)[] = [];
    server.serves = (request, response) => {
      keys.push(request.headers.authorization);
      if (keys.length > 1) return maps(next, response);
      writeFileSync(node.config.keyFile, "m25test-the-fresh-key\n");
      response.writeHead(401).end();
    };
    node.log.length = 0;
    expect((await node.poll({ quiet: true })).exitCode).toBe(0);
    expect(keys).toEqual([`Bearer ${KEY}`, "Bearer m25test-the-fresh-key"]);
    expect(node.log).toEqual([
      "the key was exchanged: going on with the fresh one",
      expect.stringMatching(/^applied revision 8/),
    ]);
    server.serves = (_, response) => void response.writeHead(401).end();
    const asked = server.requests.length;
    expect((await node.poll()).exitCode).toBe(77);
    expect(server.requests.length).toBe(asked + 1);
  });

  it("logs that the new key is refused as well, if it is", async () => {
    const { node, server } = await polled();
    server.serves = (_, response) => {
      writeFileSync(node.config.keyFile, "m25test-the-fresh-key\n");
      response.writeHead(401).end();
    };
    node.log.length = 0;
    expect((await node.poll({ quiet: true })).exitCode).toBe(77);
    expect(node.log).toEqual([
      "the key was exchanged: going on with the fresh one",
      expect.stringMatching(/^the server does not accept the key \(401\)/),
    ]);
    expect((await statusOf(node)).text).toContain("message     the server does not accept the key (401)");
  });
});
