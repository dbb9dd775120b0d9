import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { main } from "../../src/agent/cli.ts";
import type { CommandResult } from "../../src/agent/host.ts";
import { type MailState, stateTag } from "../../src/sync/answer.ts";
import { breaking, type Fault } from "./breaking.ts";
import { delta, everybody, type Scenario, scenarios, two } from "./scenarios.ts";
import {
  expectedOf,
  type FakeServer,
  hash,
  mapContent,
  type Node,
  nodeOf,
  picture,
  pretendPostmap,
  served,
  serves,
  startingNothing,
  startServer,
  stateOf,
  user,
  usersIn,
} from "./support.ts";

interface Trial {
  server: FakeServer;
  node: Node;
  kicked: Set<string>;
}

/** A node with everybody logged in, a Postfix that is simulated, and a clock that does not wait. */
function nodeFor(server: FakeServer, kicked: Set<string>): Node {
  const node = nodeOf(server, {
    ...startingNothing,
    find: async (command) => `/pretended/${command}`,
    run: async (command, args, options) => {
      if (command.endsWith("postmap")) return pretendPostmap(args, options);
      if (command.endsWith("postconf")) return leadingTo(node.config.out, args);
      if (args[0] === "kick") kicked.add(String(args[1]));
      return { code: 0, stdout: `username\tconnections\n${everybody.join("\t1\n")}\t1\n`, stderr: "" };
    },
  });
  return node;
}

/** A main.cf whose last two settings that are asked for, domains and addresses, lead to the node's maps. */
function leadingTo(out: string, args: readonly string[]): CommandResult {
  const [domains, addresses] = args.slice(-2);
  const lines = [
    `${domains} = lmdb:${join(out, "domains")}`,
    `${addresses} = lmdb:${join(out, "mailboxes")}`,
  ];
  return { code: 0, stdout: lines.join("\n"), stderr: "" };
}

/** Makes the node's folder once. @returns what gives each trial a copy of it, before the poll that is interrupted */
async function prepare({ history, accept, forgets, to }: Scenario): Promise<() => Promise<Trial>> {
  const before = await startServer(history[0] ?? to);
  const model = nodeFor(before, new Set());
  const { out } = model.config;
  for (const state of history) {
    before.serves = state;
    await model.poll();
  }
  if (accept === true) await main(["accept", "--out", out], {}, model.host, new AbortController().signal);
  return async () => {
    const server = await startServer(to);
    if (forgets !== true) server.remembers.push(...before.remembers);
    const kicked = new Set<string>();
    const node = nodeFor(server, kicked);
    if (existsSync(out)) execFileSync("cp", ["-a", out, node.config.out]);
    return { server, node, kicked };
  };
}

/** How many steps one undisturbed poll takes. */
async function countSteps(begin: () => Promise<Trial>): Promise<string[]> {
  const { node } = await begin();
  const { host, steps } = breaking(node.host);
  expect([0, 65]).toContain((await node.poll({ host })).exitCode);
  return steps;
}

/**
 * No mail that Postfix accepts is unknown to Dovecot, nobody who is served before and after is not in between, and
 * nothing is there that neither state has.
 */
function expectSafe(out: string, { from, after }: Scenario, why: string): void {
  const mailboxes = mapContent(out, "mailboxes");
  const domains = mapContent(out, "domains");
  const keys = (map: Map<string, unknown> | undefined): string => [...(map?.keys() ?? [])].sort().join();
  const states = [...(from === undefined ? [] : [from]), after];
  const possible = (pick: (state: MailState) => ReadonlyMap<string, unknown>): string[] =>
    states.map((state) => keys(new Map(pick(state))));
  if (mailboxes !== undefined) {
    expect(
      possible(({ users }) => users),
      why,
    ).toContain(keys(mailboxes));
    const users = new Map(usersIn(out).map((record) => [record.user, record]));
    const ofMailboxes = states.filter(({ role }) => role === "mail");
    for (const address of mailboxes.keys()) {
      const hasMailbox = ofMailboxes.some((state) => state.users.has(address));
      expect(users.has(address) || !hasMailbox, `${why}: ${address}`).toBe(true);
    }
    for (const [address, record] of users)
      expect(
        ofMailboxes.map((state) => state.users.get(address)),
        why,
      ).toContainEqual(record);
    for (const address of from?.users.keys() ?? []) {
      if (!after.users.has(address)) continue;
      expect([address, mailboxes.has(address), users.has(address)], why).toEqual([address, true, true]);
    }
  }
  if (domains !== undefined) {
    expect(
      possible((state) => state.domains),
      why,
    ).toContain(keys(domains));
    if (domains.has("new.nl")) expect(keys(mailboxes), why).toContain("@new.nl");
  }
  if (from !== undefined) expect(existsSync(join(out, "users")), why).toBe(true);
}

/** What is served is exactly that; an mx keeps the users that it had. */
function expectServes(out: string, state: MailState, why: string): void {
  const { domains, mailboxes, ...mailbox } = serves(out);
  const { domains: wantedDomains, mailboxes: wantedMailboxes, ...wanted } = expectedOf(state);
  expect({ domains, mailboxes }, why).toEqual({ domains: wantedDomains, mailboxes: wantedMailboxes });
  if (state.role === "mail") expect(mailbox, why).toEqual(wanted);
}

async function expectRepair({ server, node, kicked }: Trial, scenario: Scenario, why: string): Promise<void> {
  const { to, after, exit, lockedOut } = scenario;
  expect((await node.poll()).exitCode, why).toBe(exit);
  expectServes(node.config.out, after, why);
  const status = exit === 0 ? "applied" : "withheld";
  expect(server.reports.at(-1), why).toMatchObject({
    revision: to.revision,
    status,
    counts: { users: after.users.size },
  });
  expect([...kicked].sort(), why).toEqual(lockedOut);
  expect(leftOvers(node), why).toEqual([]);
  // All of it is settled now: the next poll asks with its tag, and changes nothing.
  const settled = picture(node.config.out);
  expect((await node.poll()).exitCode, why).toBe(exit);
  expect(server.requests.at(-1)?.headers["if-none-match"], why).toBe(stateTag(to));
  expect(picture(node.config.out), why).toEqual(settled);
}

function leftOvers(node: Node): string[] {
  if (!existsSync(node.config.out)) return [];
  return readdirSync(node.config.out).filter((name) => /^\.|^pending/.test(name) && name !== ".lock");
}

async function killedAt(begin: () => Promise<Trial>, scenario: Scenario, fault: Fault): Promise<void> {
  const state = await begin();
  const before = served(state.node.config.out);
  const { host, steps } = breaking(state.node.host, fault);
  await state.node.poll({ host });
  const why = `${JSON.stringify(fault)} at ${steps.at(-1)} after ${steps.at(-2)}`;
  expectSafe(state.node.config.out, scenario, why);
  // Whatever is not renamed into place is not seen.
  if (!steps.some((step) => /^rename \.pending/.test(step))) {
    expect(served(state.node.config.out), why).toEqual(before);
  }
  await expectRepair(state, scenario, why);
}

const kinds = ["before", "during", "after"] as const;
const codes = [
  ["ENOSPC", 75, "disk_full"],
  ["EACCES", 78, "not_permitted"],
  ["EIO", 75, "write_failed"],
] as const;

describe.each(Object.entries(scenarios))("%s that is interrupted", (name, scenario) => {
  const { from, after } = scenario;
  // Each fault at each step of an update; of the others one at each step, in turn.
  const thorough = scenario === delta;

  it("killed at any step: what is served stays safe, and the next run finishes it", async () => {
    const begin = await prepare(scenario);
    const steps = await countSteps(begin);
    expect(steps.length).toBeGreaterThan(30);
    for (let step = 1; step <= steps.length; step += 1) {
      for (const kill of thorough ? kinds : [kinds[step % 3] ?? "after"])
        await killedAt(begin, scenario, { step, kind: { kill } });
    }
  });

  const alone = scenario === delta || from === undefined || scenario.accept === true;

  if (alone) {
    it("killed at any step, and the server away afterwards: the files are finished without it", async () => {
      const begin = await prepare(scenario);
      const steps = await countSteps(begin);
      for (let step = 1; step <= steps.length; step += 1) {
        const { server, node, kicked } = await begin();
        const { host } = breaking(node.host, { step, kind: { kill: "after" } });
        await node.poll({ host });
        const decided = existsSync(join(node.config.out, "pending.ndjson"));
        const applied = JSON.stringify(steps.slice(0, step)).includes("rename pending.ndjson");
        server.serves = (_request, response) => response.writeHead(500).end();
        expect((await node.poll()).exitCode).toBe(75);
        // What an operator has accepted needs no server.
        const expected = decided || applied || scenario.accept === true ? after : from;
        if (expected !== undefined) expectServes(node.config.out, expected, `${steps[step - 1]}`);
        else expect(served(node.config.out)).toEqual({});
        if (expected === after && from !== undefined) expect([...kicked].sort()).toEqual(scenario.lockedOut);
      }
    });
  }

  it("the disk is full at any step: the old state stays, nothing is left behind, and the server is told", async () => {
    const begin = await prepare(scenario);
    const steps = await countSteps(begin);
    let refused = 0;
    for (let step = 1; step <= steps.length; step += 1) {
      const state = await begin();
      const { server, node } = state;
      const before = served(node.config.out);
      const broken = breaking(node.host, { step, kind: { full: true } });
      const { exitCode } = await node.poll({ host: broken.host });
      const why = `${name}: full from step ${step}, ${steps[step - 1]}`;
      expectSafe(node.config.out, scenario, why);
      if (exitCode === scenario.exit) {
        // It came after the last byte that mattered: only the note of the report could not be written.
        expectServes(node.config.out, after, why);
      } else {
        refused += 1;
        expect(exitCode, why).toBe(75);
        expect(node.log.join("\n"), why).toMatch(/full|No space left/);
        const told = server.reports.at(-1);
        if (told !== undefined)
          expect(told, why).toMatchObject({
            status: "failed",
            reason: "disk_full",
            revision: from?.revision ?? 0,
          });
        expect(
          leftOvers(node).filter((name) => name !== "pending.ndjson"),
          why,
        ).toEqual([]);
        if (!broken.steps.some((one) => /^rename \.pending/.test(one))) {
          expect(served(node.config.out), why).toEqual(before);
          expect(leftOvers(node), why).toEqual([]);
        }
      }
      await expectRepair(state, scenario, why);
    }
    expect(refused).toBeGreaterThan(10);
  });

  it("any one step fails, of a full disk, a right that is missing or a disk that fails: told, and the next run repairs", async () => {
    const begin = await prepare(scenario);
    const steps = await countSteps(begin);
    for (let step = 1; step <= steps.length; step += 1) {
      // A failing doveadm is a warning, and is not tried again.
      if (steps[step - 1]?.startsWith("doveadm")) continue;
      for (const [code, exit, reason] of thorough ? codes : codes.slice(step % 3, (step % 3) + 1)) {
        const state = await begin();
        const { host } = breaking(state.node.host, { step, kind: { code } });
        const { exitCode } = await state.node.poll({ host });
        const why = `${code} at step ${step}, ${steps[step - 1]}`;
        expectSafe(state.node.config.out, scenario, why);
        const told = state.server.reports.at(-1);
        if (exitCode !== scenario.exit && told !== undefined) {
          expect(told, why).toMatchObject({ status: "failed" });
          if (!/^post(map|conf) /.test(steps[step - 1] ?? ""))
            expect([exitCode, told.reason], why).toEqual([exit, reason]);
        }
        await expectRepair(state, scenario, why);
      }
    }
  });
});

describe("an update that fails for good", () => {
  it("does not hold up the next one: the node takes what the server has by then", async () => {
    const begin = await prepare(delta);
    const steps = await countSteps(begin);
    const three = stateOf(3, ["example.nl"], [user("jan@example.nl", { password: hash("c") })]);
    for (let step = 1; step <= steps.length; step += 1) {
      const { server, node, kicked } = await begin();
      await node.poll({ host: breaking(node.host, { step, kind: { kill: "after" } }).host });
      // The disk is full when the unfinished update is taken up again, and then it is not.
      await node.poll({ host: breaking(node.host, { step: 1, kind: { full: true } }).host });
      server.serves = three;
      expect((await node.poll()).exitCode).toBe(0);
      expect(serves(node.config.out), steps[step - 1]).toEqual(expectedOf(three));
      expect([...kicked]).toEqual(expect.arrayContaining(delta.lockedOut));
    }
  });

  it("the server is told that it failed, also when it has nothing newer", async () => {
    const begin = await prepare(delta);
    const steps = await countSteps(begin);
    const { server, node } = await begin();
    const step = steps.indexOf("rename .users.new users") + 1;
    await node.poll({ host: breaking(node.host, { step, kind: { kill: "after" } }).host });
    const result = await node.poll({ host: breaking(node.host, { step: 1, kind: { full: true } }).host });
    expect(result).toMatchObject({ exitCode: 75, reported: true });
    expect(server.requests.at(-1)?.headers["if-none-match"]).toBe(stateTag(two));
    expect(server.reports.at(-1)).toMatchObject({ status: "failed", reason: "disk_full", revision: 1 });
    // Both are said when the server is no help either; the exit code is that of the files.
    server.serves = (_, response) => response.writeHead(401).end();
    node.log.length = 0;
    const host = breaking(node.host, { step: 1, kind: { full: true } }).host;
    expect((await node.poll({ host })).exitCode).toBe(75);
    expect(node.log.join("\n")).toMatch(/disk is full.*\n.*does not accept the key/);
  });
});
