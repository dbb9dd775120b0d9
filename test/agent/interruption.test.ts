import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type MailState, stateTag } from "../../src/sync/answer.ts";
import { breaking, type Fault } from "./breaking.ts";
import {
  expectedOf,
  type FakeServer,
  hash,
  mapContent,
  type Node,
  nodeOf,
  picture,
  pretendPostmap,
  quickClock,
  served,
  serves,
  startServer,
  stateOf,
  user,
  usersIn,
} from "./support.ts";

const one = stateOf(
  1,
  ["example.nl", "old.nl"],
  [user("gone@example.nl"), user("jan@example.nl"), user("last@old.nl"), user("stays@example.nl")],
);
const two = stateOf(
  2,
  ["example.nl", "new.nl"],
  [
    user("jan@example.nl", { password: hash("b") }),
    user("els@new.nl"),
    user("stays@example.nl", { quota_mb: 7 }),
  ],
);
const lockedOut = ["gone@example.nl", "jan@example.nl", "last@old.nl"];

interface Trial {
  server: FakeServer;
  node: Node;
  kicked: Set<string>;
}

/** A node with everybody logged in, a Postfix that is simulated, and a clock that does not wait. */
async function trial(from: MailState | undefined): Promise<Trial> {
  const server = await startServer(from ?? two);
  const kicked = new Set<string>();
  const node = nodeOf(server, {
    find: async (command) => `/pretended/${command}`,
    run: async (command, args, options) => {
      if (command.endsWith("postmap")) return pretendPostmap(args, options);
      if (args[0] === "kick") kicked.add(String(args[1]));
      const everybody = [...one.users.keys(), ...two.users.keys()].join("\t1\n");
      return { code: 0, stdout: `username\tconnections\n${everybody}\t1\n`, stderr: "" };
    },
    lock: async () => ({ fd: -1, release: async () => undefined }),
    clock: quickClock,
  });
  if (from !== undefined) {
    expect((await node.poll()).exitCode).toBe(0);
    server.serves = two;
    server.reports.length = 0;
  }
  return { server, node, kicked };
}

/** How many steps one undisturbed update takes. */
async function countSteps(from: MailState | undefined): Promise<string[]> {
  const { node } = await trial(from);
  const { host, steps } = breaking(node.host);
  expect((await node.poll({ host })).exitCode).toBe(0);
  return steps;
}

/** No mail that Postfix accepts is unknown to Dovecot, and nothing is there that neither state has. */
function expectSafe(out: string, from: MailState | undefined, why: string): void {
  const mailboxes = mapContent(out, "mailboxes");
  const domains = mapContent(out, "domains");
  const keys = (map: Map<string, unknown> | undefined): string => [...(map?.keys() ?? [])].sort().join();
  const states = [...(from === undefined ? [] : [from]), two];
  if (mailboxes !== undefined) {
    expect(
      states.map((state) => keys(new Map(state.users))),
      why,
    ).toContain(keys(mailboxes));
    const users = new Map(usersIn(out).map((record) => [record.user, record]));
    for (const address of mailboxes.keys()) expect(users.has(address), `${why}: ${address}`).toBe(true);
    for (const [address, record] of users) {
      expect(
        states.map((state) => state.users.get(address)),
        why,
      ).toContainEqual(record);
    }
  }
  if (domains !== undefined) {
    expect(
      states.map((state) => keys(new Map(state.domains))),
      why,
    ).toContain(keys(domains));
    if (domains.has("new.nl")) expect(mailboxes?.has("els@new.nl"), why).toBe(true);
  }
  if (from !== undefined) expect(existsSync(join(out, "users")), why).toBe(true);
}

async function expectRepair(
  { server, node, kicked }: Trial,
  from: MailState | undefined,
  why: string,
): Promise<void> {
  expect((await node.poll()).exitCode, why).toBe(0);
  expect(serves(node.config.out), why).toEqual(expectedOf(two));
  expect(server.reports.at(-1), why).toMatchObject({ revision: 2, status: "applied" });
  if (from !== undefined) expect([...kicked].sort(), why).toEqual(lockedOut);
  expect(leftOvers(node), why).toEqual([]);
  // All of it is settled now: the next poll asks with its tag, and changes nothing.
  const settled = picture(node.config.out);
  expect((await node.poll()).exitCode, why).toBe(0);
  expect(server.requests.at(-1)?.headers["if-none-match"], why).toBe(stateTag(two));
  expect(picture(node.config.out), why).toEqual(settled);
}

function leftOvers(node: Node): string[] {
  if (!existsSync(node.config.out)) return [];
  return readdirSync(node.config.out).filter((name) => /^\.|^pending/.test(name) && name !== ".lock");
}

async function killedAt(from: MailState | undefined, fault: Fault): Promise<void> {
  const state = await trial(from);
  const before = served(state.node.config.out);
  const { host, steps } = breaking(state.node.host, fault);
  await state.node.poll({ host });
  const why = `${JSON.stringify(fault)} at ${steps.at(-1)} after ${steps.at(-2)}`;
  expectSafe(state.node.config.out, from, why);
  // Whatever is not renamed into place is not seen.
  if (!steps.some((step) => /^rename \.pending/.test(step))) {
    expect(served(state.node.config.out), why).toEqual(before);
  }
  await expectRepair(state, from, why);
}

describe.each([
  ["an update", one],
  ["a first state", undefined],
])("%s that is interrupted", (_, from) => {
  it.each(["before", "during", "after"] as const)(
    "killed %s any step: what is served stays safe, and the next run finishes it",
    async (kill) => {
      const steps = await countSteps(from);
      expect(steps.length).toBeGreaterThan(50);
      for (let step = 1; step <= steps.length; step += 1) await killedAt(from, { step, kind: { kill } });
    },
    60_000,
  );

  it("killed at any step, and the server away afterwards: the files are finished without it", async () => {
    const steps = await countSteps(from);
    for (let step = 1; step <= steps.length; step += 1) {
      const { server, node, kicked } = await trial(from);
      const { host } = breaking(node.host, { step, kind: { kill: "after" } });
      await node.poll({ host });
      const accepted = existsSync(join(node.config.out, "pending.ndjson"));
      const applied = JSON.stringify(steps.slice(0, step)).includes("rename pending.ndjson");
      server.serves = (_request, response) => response.writeHead(500).end();
      expect((await node.poll()).exitCode).toBe(75);
      const expected = accepted || applied ? two : from;
      if (expected !== undefined)
        expect(serves(node.config.out), steps[step - 1]).toEqual(expectedOf(expected));
      else expect(served(node.config.out)).toEqual({});
      if (expected === two && from !== undefined) expect([...kicked].sort()).toEqual(lockedOut);
    }
  }, 60_000);

  it("the disk is full at any step: the old state stays, nothing is left behind, and the server is told", async () => {
    const steps = await countSteps(from);
    let refused = 0;
    for (let step = 1; step <= steps.length; step += 1) {
      const state = await trial(from);
      const { server, node } = state;
      const before = served(node.config.out);
      const broken = breaking(node.host, { step, kind: { full: true } });
      const { exitCode } = await node.poll({ host: broken.host });
      const why = `full from step ${step}, ${steps[step - 1]}`;
      expectSafe(node.config.out, from, why);
      if (exitCode === 0) {
        // It came after the last byte that mattered: only the note of the report could not be written.
        expect(serves(node.config.out), why).toEqual(expectedOf(two));
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
      await expectRepair(state, from, why);
    }
    expect(refused).toBeGreaterThan(10);
  }, 60_000);
});

describe("a single step of an update that fails", () => {
  it.each([
    ["ENOSPC", 75, "disk_full"],
    ["EACCES", 78, "not_permitted"],
    ["EIO", 75, "write_failed"],
  ] as const)(
    "any one step fails with %s: exit code %i, reported as %s, and the next run repairs",
    async (code, exit, reason) => {
      const steps = await countSteps(one);
      for (let step = 1; step <= steps.length; step += 1) {
        // A failing doveadm is a warning, and is not tried again.
        if (steps[step - 1]?.startsWith("doveadm")) continue;
        const state = await trial(one);
        const { host } = breaking(state.node.host, { step, kind: { code } });
        const { exitCode } = await state.node.poll({ host });
        const why = `${code} at step ${step}, ${steps[step - 1]}`;
        expectSafe(state.node.config.out, one, why);
        if (exitCode !== 0 && !steps[step - 1]?.startsWith("make out")) {
          expect(state.server.reports.at(-1), why).toMatchObject({ status: "failed" });
          if (!steps[step - 1]?.startsWith("postmap")) {
            expect([exitCode, state.server.reports.at(-1)?.reason], why).toEqual([exit, reason]);
          }
        }
        await expectRepair(state, one, why);
      }
    },
    60_000,
  );
});

describe("an update that fails for good", () => {
  it("does not hold up the next one: the node takes what the server has by then", async () => {
    const steps = await countSteps(one);
    const three = stateOf(3, ["example.nl"], [user("jan@example.nl", { password: hash("c") })]);
    for (let step = 1; step <= steps.length; step += 1) {
      const { server, node, kicked } = await trial(one);
      await node.poll({ host: breaking(node.host, { step, kind: { kill: "after" } }).host });
      // The disk is full when the unfinished update is taken up again, and then it is not.
      await node.poll({ host: breaking(node.host, { step: 1, kind: { full: true } }).host });
      server.serves = three;
      expect((await node.poll()).exitCode).toBe(0);
      expect(serves(node.config.out), steps[step - 1]).toEqual(expectedOf(three));
      expect([...kicked]).toEqual(expect.arrayContaining(lockedOut));
    }
  }, 60_000);

  it("the server is told that it failed, also when it has nothing newer", async () => {
    const steps = await countSteps(one);
    const { server, node } = await trial(one);
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
