import { describe, expect, it } from "vitest";
import type { Host } from "../../src/agent/host.ts";
import type { MailState } from "../../src/sync/answer.ts";
import type { UserRecord } from "../../src/sync/records.ts";
import { hash, type Node, nodeOf, pretendPostmap, startServer, stateOf, user, usersIn } from "./support.ts";

const one = stateOf(
  1,
  ["example.nl"],
  [user("away@example.nl"), user("gone@example.nl"), user("jan@example.nl"), user("more@example.nl")],
);
const two = stateOf(
  2,
  ["example.nl"],
  [
    user("away@example.nl", { password: hash("b") }),
    user("jan@example.nl", { password: hash("b") }),
    user("more@example.nl", { quota_mb: 7 }),
  ],
);

const usersOf = (state: MailState): UserRecord[] => [...state.users.values()] as UserRecord[];

const who = (...users: string[]): string =>
  ["username\t#\tproto\t(pids)\t(ips)", ...users.map((name) => `${name}\t1\timap\t(1)\t(::1)`), ""].join(
    "\n",
  );

type Doveadm = (args: readonly string[]) => { code: number | null; stdout?: string; stderr?: string };

/** A node with the first state and a doveadm; what happens from then on stands in `events`. */
async function nodeWith(doveadm: Doveadm, clock: { now: number }): Promise<{ node: Node; events: string[] }> {
  const server = await startServer(one);
  const events: string[] = [];
  const parts: Partial<Host> = {
    find: async (command) => (command === "postconf" ? undefined : `/pretended/${command}`),
    run: async (command, args, options) => {
      if (command.endsWith("postmap")) {
        if (!args.includes("-s") && !args.includes("-q")) events.push("postmap");
        return pretendPostmap(args, options);
      }
      // The look-up has tests of its own.
      if (args.includes("user")) return { code: 0, stdout: "", stderr: "" };
      events.push(`doveadm ${args.join(" ")} at ${clock.now}`);
      return { stdout: "", stderr: "", ...doveadm(args) };
    },
    clock: {
      now: () => clock.now,
      monotonic: () => clock.now,
      sleep: async (milliseconds) => {
        events.push(`sleep ${milliseconds}`);
        clock.now += milliseconds;
      },
    },
  };
  const node = nodeOf(server, parts);
  const { files } = node.host;
  node.host.files = {
    ...files,
    rename: async (from, to) => {
      await files.rename(from, to);
      if (to.endsWith("/users")) events.push(`users: ${usersIn(node.config.out).length}`);
      if (to.endsWith("/state.json")) events.push("state");
    },
  };
  const { now } = clock;
  expect((await node.poll()).exitCode).toBe(0);
  clock.now = now;
  events.length = 0;
  node.log.length = 0;
  server.serves = two;
  return { node, events };
}

const everybody: Doveadm = (args) => ({
  code: 0,
  stdout: args.includes("who") ? who("gone@example.nl", "jan@example.nl", "more@example.nl") : "",
});

describe("open sessions", () => {
  it("of removed users and changed passwords end, of those who are there, after Dovecot's next look at the file", async () => {
    const { node, events } = await nodeWith(everybody, { now: 1_900_000_000_400 });
    node.config.dovecotConfig = node.config.keyFile;
    expect((await node.poll()).exitCode).toBe(0);
    const doveadm = `doveadm -c ${node.config.dovecotConfig}`;
    expect(events).toEqual([
      "users: 4",
      "postmap",
      "postmap",
      "users: 3",
      "sleep 650",
      `${doveadm} -f tab who at 1900000001050`,
      `${doveadm} kick gone@example.nl at 1900000001050`,
      `${doveadm} kick jan@example.nl at 1900000001050`,
      "state",
      "state",
    ]);
    expect(node.log[0]).toBe("ended the open sessions of 2 users");
  });

  it("of one user that end are counted as one", async () => {
    const { node } = await nodeWith(
      (args) => ({ code: 0, stdout: args.includes("who") ? who("jan@example.nl") : "" }),
      { now: 1_900_000_000_400 },
    );
    await node.poll();
    expect(node.log[0]).toBe("ended the open sessions of 1 user");
  });

  it("Postfix learns of a new mailbox only after Dovecot has looked, and nobody's session ends for it", async () => {
    const { node, events } = await nodeWith(everybody, { now: 1_900_000_000_400 });
    const added = [...one.users.values(), user("new@example.nl")];
    node.config.server = (await startServer(stateOf(3, ["example.nl"], added))).url;
    expect((await node.poll()).exitCode).toBe(0);
    expect(events).toEqual(["users: 5", "sleep 650", "postmap", "postmap", "state", "state"]);
  });

  it("the wait is never longer than a second and a little", async () => {
    for (const now of [1_900_000_000_000, 1_900_000_000_001, 1_900_000_000_999]) {
      const { node, events } = await nodeWith(everybody, { now });
      await node.poll();
      const waits = events
        .filter((event) => event.startsWith("sleep "))
        .map((event) => Number(event.slice(6)));
      expect(waits).toEqual([(now % 1000 === 0 ? 1000 : 1000 - (now % 1000)) + 50]);
    }
  });

  it("stay when only quotas change: nobody is asked, and nothing waits", async () => {
    const { node, events } = await nodeWith(everybody, { now: 1_900_000_000_000 });
    const changed = usersOf(one).map((record) => ({ ...record, quota_mb: 9 }));
    node.config.server = (await startServer(stateOf(3, ["example.nl"], changed))).url;
    expect((await node.poll()).exitCode).toBe(0);
    expect(events.filter((event) => /sleep|doveadm/.test(event))).toEqual([]);
  });

  it.each([
    [
      "Dovecot is not running",
      () => ({
        code: 75,
        stderr: "Fatal: net_connect_unix(/run/dovecot/anvil) failed: No such file or directory\n",
      }),
      /^warning: Dovecot does not answer: is it running\?$/,
    ],
    [
      "a kick fails",
      (args) => (args.includes("who") ? everybody(args) : { code: 1, stderr: "no\nway" }),
      /^warning: doveadm kick gone@example.nl ended with 1: no way$/,
    ],
    [
      "doveadm hangs and is ended",
      () => ({ code: null }),
      /^warning: doveadm -f tab who ended with a signal/,
    ],
  ] satisfies [string, Doveadm, RegExp][])(
    "%s: a warning, and the state is applied",
    async (_, doveadm, warning) => {
      const { node } = await nodeWith(doveadm, { now: 1_900_000_000_000 });
      expect(await node.poll()).toMatchObject({ exitCode: 0, reported: true });
      expect(node.log[0]).toMatch(warning);
    },
  );

  it("of a Dovecot that does not run, a poll warns once, in plain words", async () => {
    const { node } = await nodeWith(everybody, { now: 1_900_000_000_000 });
    const { run } = node.host;
    const asked = new Set<string>();
    node.host.run = async (command, args, options) => {
      if (!command.endsWith("doveadm")) return run(command, args, options);
      asked.add(args.includes("who") ? "who" : "user");
      const socket = args.includes("who")
        ? "net_connect_unix(/run/dovecot/anvil)"
        : "connect(/run/dovecot/auth-userdb)";
      return { code: 75, stdout: "", stderr: `Fatal: ${socket} failed: No such file or directory\n` };
    };
    expect(await node.poll()).toMatchObject({ exitCode: 0, reported: true });
    expect([...asked].sort()).toEqual(["user", "who"]);
    expect(node.log.filter((line) => /warning|doveadm|socket/.test(line))).toEqual([
      "warning: Dovecot does not answer: is it running?",
    ]);
  });

  it("a user who left meanwhile is no fault", async () => {
    const { node } = await nodeWith((args) => (args.includes("who") ? everybody(args) : { code: 68 }), {
      now: 1_900_000_000_000,
    });
    expect((await node.poll()).exitCode).toBe(0);
    expect(node.log.filter((line) => /warning|ended/.test(line))).toEqual([]);
  });
});
