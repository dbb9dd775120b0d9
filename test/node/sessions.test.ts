import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Machine, thisMachine } from "../../src/machine/machine.ts";
import { appPasswords } from "../support/records.ts";
import { hash, stateOf, user } from "./answers.ts";
import { ask, served } from "./folder.ts";
import { Life } from "./life.ts";
import { type Node, nodeOf, startServer } from "./support.ts";

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

const who = (...users: string[]): string =>
  ["username\t#\tproto\t(pids)\t(ips)", ...users.map((name) => `${name}\t1\timap\t(1)\t(::1)`), ""].join(
    "\n",
  );

type Doveadm = (args: readonly string[]) => { code: number | null; stdout?: string; stderr?: string };

/** A node with the first state and a doveadm, whose later calls are in `events`. */
async function nodeWith(doveadm: Doveadm): Promise<{ node: Node; events: string[] }> {
  const server = await startServer(one);
  const events: string[] = [];
  const parts: Partial<Machine> = {
    find: async (command) =>
      command === "doveadm"
        ? "/pretended/doveadm"
        : command === "sqlite3"
          ? await thisMachine.find(command)
          : undefined,
    run: async (_, args) => {
      // The look-up has tests of its own.
      if (args.includes("user")) return { code: 0, stdout: "", stderr: "" };
      const { logins } = served(node.config.out);
      events.push(`doveadm ${args.join(" ")}; ${logins.length} can log in`);
      return { stdout: "", stderr: "", ...doveadm(args) };
    },
  };
  const node = nodeOf(server, parts);
  expect((await node.poll()).exitCode).toBe(0);
  events.length = 0;
  node.log.length = 0;
  server.serves = two;
  return { node, events };
}

const everybody: Doveadm = (args) => ({
  code: 0,
  stdout: args.includes("who")
    ? who("gone@example.nl", "jan@example.nl", "more@example.nl", "stays@example.nl")
    : "",
});

const commandsIn = (events: readonly string[]): string[] =>
  events.map((event) => event.replace(/^doveadm (.*);.*$/, "$1"));

/** After the change from the first state to the second. */
const kicksOfTwo = ["-f tab who", "kick gone@example.nl", "kick jan@example.nl", "kick more@example.nl"];

async function expectNothingLeft(node: Node, events: string[]): Promise<void> {
  events.length = 0;
  expect(await node.poll()).toMatchObject({ exitCode: 0, news: "unchanged" });
  expect(events).toEqual([]);
}

describe("open sessions", () => {
  it("of users who are removed, or whose password or quota is changed, end at once", async () => {
    const { node, events } = await nodeWith(everybody);
    node.config.dovecotConfig = node.config.keyFile;
    expect((await node.poll()).exitCode).toBe(0);
    const doveadm = `doveadm -c ${node.config.dovecotConfig}`;
    // Dovecot already finds the new state then.
    expect(events).toEqual([
      `${doveadm} -f tab who; 3 can log in`,
      `${doveadm} kick gone@example.nl; 3 can log in`,
      `${doveadm} kick jan@example.nl; 3 can log in`,
      `${doveadm} kick more@example.nl; 3 can log in`,
    ]);
    expect(node.log[0]).toBe("ended the open sessions of 3 users");
  });

  it("stay if users are only added: doveadm is not called", async () => {
    const { node, events } = await nodeWith(everybody);
    const added = [...one.users.values(), user("new@example.nl")];
    node.config.server = (await startServer(stateOf(3, ["example.nl"], added))).url;
    expect((await node.poll()).exitCode).toBe(0);
    expect(events).toEqual([]);
  });

  it("for sending go on when an app password is made, and end with it", async () => {
    const { node } = await nodeWith(everybody);
    const sender = () => ask(join(node.config.out, "addresses.db"), "SELECT login FROM address")[0];
    const serve = async (revision: number, ...apps: string[]) => {
      const jan = user("jan@example.nl", apps.length === 0 ? {} : { app_passwords: appPasswords(apps) });
      node.config.server = (await startServer(stateOf(revision, ["example.nl"], [jan]))).url;
      expect((await node.poll()).exitCode).toBe(0);
      return sender();
    };
    const first = await serve(3);
    expect(await serve(4, "phone")).toBe(first);
    expect(await serve(5, "laptop", "phone")).toBe(first);
    const second = await serve(6, "laptop");
    expect(second).toBe("6");
    expect(await serve(7)).toBe("7");
  });

  it("of one user count as one", async () => {
    const { node } = await nodeWith((args) => ({
      code: 0,
      stdout: args.includes("who") ? who("jan@example.nl") : "",
    }));
    await node.poll();
    expect(node.log[0]).toBe("ended the open sessions of 1 user");
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
    ["doveadm hangs and is ended", () => ({ code: null }), /^warning: doveadm who ended with a signal/],
  ] satisfies [string, Doveadm, RegExp][])(
    "%s: a warning, and the state is applied",
    async (_, doveadm, warning) => {
      const { node } = await nodeWith(doveadm);
      expect(await node.poll()).toMatchObject({ exitCode: 0, reported: true });
      expect(node.log[0]).toMatch(warning);
    },
  );

  it("cannot be ended while Dovecot does not run: a poll warns once, in plain words", async () => {
    const { node } = await nodeWith(everybody);
    const { run } = node.machine;
    const asked = new Set<string>();
    node.machine.run = async (command, args) => {
      if (!command.endsWith("doveadm")) return run(command, args);
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

  it("that have ended meanwhile are no fault", async () => {
    const { node } = await nodeWith((args) => (args.includes("who") ? everybody(args) : { code: 68 }));
    expect((await node.poll()).exitCode).toBe(0);
    expect(node.log.filter((line) => /warning|ended/.test(line))).toEqual([]);
  });

  const away = "Fatal: net_connect_unix(/run/dovecot/anvil) failed: No such file or directory\n";
  it.each<[string, ReturnType<Doveadm>]>([
    ["hangs", { code: null }],
    ["does not run", { code: 75, stderr: away }],
  ])("end at a later poll without news if Dovecot %s at the change", async (_, fault) => {
    let isAnswering = false;
    const { node, events } = await nodeWith((args) => (isAnswering ? everybody(args) : fault));
    await node.poll();
    events.length = 0;
    expect(await node.poll()).toMatchObject({ exitCode: 0, news: "unchanged" });
    expect(commandsIn(events)).toEqual(["-f tab who"]);
    isAnswering = true;
    events.length = 0;
    expect(await node.poll()).toMatchObject({ exitCode: 0, news: "unchanged" });
    expect(commandsIn(events)).toEqual(kicksOfTwo);
    await expectNothingLeft(node, events);
  });

  it("end at the next poll, even without the server, if the program was killed after the change", async () => {
    const { node, events } = await nodeWith(everybody);
    const killed = await Life.begin(node.config.out);
    await killed.take(two, { whole: true });
    await killed.replica.db.close();
    const { server } = node.config;
    node.config.server = new URL("http://127.0.0.1:1/");
    expect((await node.poll()).exitCode).not.toBe(0);
    expect(commandsIn(events)).toEqual(kicksOfTwo);
    node.config.server = server;
    await expectNothingLeft(node, events);
  });

  it("of users of several changes end together once Dovecot answers, and only theirs", async () => {
    let isAnswering = false;
    const { node, events } = await nodeWith((args) => (isAnswering ? everybody(args) : { code: null }));
    const left = [...two.users.values()].filter(({ user }) => user !== "more@example.nl");
    for (const state of [two, stateOf(3, ["example.nl"], left)]) {
      node.config.server = (await startServer(state)).url;
      await node.poll();
    }
    isAnswering = true;
    events.length = 0;
    await node.poll();
    expect(commandsIn(events)).toEqual(kicksOfTwo);
    await expectNothingLeft(node, events);
  });

  it("are tried again at the next poll if their kick failed, without those that ended", async () => {
    let isFailing = true;
    const { node, events } = await nodeWith((args) =>
      isFailing && args.includes("jan@example.nl") ? { code: 1, stderr: "no way" } : everybody(args),
    );
    await node.poll();
    expect(node.log).toContain("ended the open sessions of 2 users");
    isFailing = false;
    events.length = 0;
    await node.poll();
    expect(commandsIn(events)).toEqual(["-f tab who", "kick jan@example.nl"]);
    await expectNothingLeft(node, events);
  });

  it("that wait for Dovecot are warned about once by a resident program", async () => {
    const { node } = await nodeWith(() => ({ code: 75, stderr: away }));
    await node.poll({ quiet: true });
    await node.poll({ quiet: true });
    expect(node.log.filter((line) => line.startsWith("warning"))).toHaveLength(1);
  });
});
