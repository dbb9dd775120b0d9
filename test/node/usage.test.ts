import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { thisMachine } from "../../src/machine/machine.ts";
import { closeSession, openSession, replicaOf } from "../../src/node/session.ts";
import { reportUsage } from "../../src/node/usage/report-usage.ts";
import { MOST_REPORTED_MAILBOXES } from "../../src/sync/usage.ts";
import { fakeHash, PASSWORD } from "../support/store.ts";
import { type RealServer, realServer } from "./real-server.ts";

const DAY = 86_400_000;
const NOON = Date.parse("2026-11-30T12:00:00Z");

/** A folder with a socket where this answers doveadm's questions, as Dovecot does. */
async function dovecot(folder: string, answer: (user: string, socket: Socket) => string): Promise<string[]> {
  const asked: string[] = [];
  mkdirSync(join(folder, "run"));
  const server = createServer((socket) => {
    let text = "";
    socket
      .on("error", () => undefined)
      .on("data", (piece) => {
        text += piece;
        for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
          const [word, user = ""] = text.slice(0, end).split("\t");
          text = text.slice(end + 1);
          if (word === "") asked.push(user);
          socket.write(word === "" ? answer(user, socket) : "+\n");
        }
      });
  });
  await new Promise<void>((resolve) => server.listen(join(folder, "run/doveadm-server"), resolve));
  onTestFinished(() => void server.close());
  return asked;
}

const size = (kib: number) => `User quota\tSTORAGE\t${kib}\t-\t0\tUser quota\tMESSAGE\t1\t-\t0\t\n+\n`;

/** A node that has polled once, with Dovecot's folder, and a clock that the test sets. */
async function withNode(users: readonly string[]) {
  const real = await realServer(users);
  const { node } = real;
  expect((await node.poll()).exitCode).toBe(0);
  const { out, logins } = node.config;
  mkdirSync(logins);
  const clock = { at: NOON };
  const machine = {
    ...node.machine,
    clock: { ...thisMachine.clock, now: () => clock.at },
    find: async (name: string) =>
      /^dove(adm|conf)$/.test(name) ? `/usr/bin/${name}` : node.machine.find(name),
    run: async (command: string) => {
      const stdout = command.endsWith("doveconf")
        ? join(out, "run")
        : "username\tproto\nopen@example.nl\timap\n";
      return { code: 0, stdout, stderr: "" };
    },
  };
  const report = async () => {
    const session = await openSession(machine, node.config, { version: "test" });
    session.replica = await replicaOf(session);
    try {
      return await reportUsage(session, session.client);
    } finally {
      await closeSession(session);
    }
  };
  return { ...real, out, logins, clock, report };
}

async function listed({ must }: RealServer): Promise<Array<Record<string, unknown>>> {
  return (await must("list-usage", { domain: "example.nl", limit: 1000 })).mailboxes as never;
}

const counted = async (real: RealServer) =>
  (await listed(real)).filter(({ used_mb }) => used_mb !== null).length;

test("all mailboxes are told once a day, some at a time, and a restart goes on where it stopped", async () => {
  const number = 2 * MOST_REPORTED_MAILBOXES + 1;
  const users = Array.from({ length: number - 1 }, (_, index) => `u${index}`);
  const newUser = (localPart: string) => ({
    localPart,
    domain: "example.nl",
    passwordHash: fakeHash(PASSWORD),
    quotaMb: 1,
    active: true,
  });
  const node = await withNode(["first@example.nl"]);
  await node.server.store.write(({ users: table }) =>
    table.addAll(users.map(newUser), new Date().toISOString()),
  );
  expect((await node.node.poll()).exitCode).toBe(0);
  const asked = await dovecot(node.out, () => size(1));
  for (const told of [1, 2]) {
    const rest = await node.report();
    expect(rest).toBeGreaterThanOrEqual(1000);
    expect(await counted(node)).toBe(told * MOST_REPORTED_MAILBOXES);
    await node.report(); // in the rest
    expect(await counted(node)).toBe(told * MOST_REPORTED_MAILBOXES);
    node.clock.at += rest;
  }
  await node.report();
  expect(asked.toSorted()).toEqual(["first", ...users].map((name) => `${name}@example.nl`).toSorted());
  node.clock.at = NOON + DAY - 1;
  await node.report();
  expect(asked).toHaveLength(number);
  node.clock.at = NOON + DAY;
  await node.report();
  expect(asked).toHaveLength(number + MOST_REPORTED_MAILBOXES);
});

test("a last login is told as its day, an open session counts, and without any note nothing is known", async () => {
  const node = await withNode(["a@example.nl", "b@example.nl", "open@example.nl"]);
  await dovecot(node.out, () => size(1));
  const days = async () => {
    await node.report();
    node.clock.at += DAY;
    return (await listed(node)).map(({ last_login, unused_since }) => [last_login, unused_since]);
  };
  const unknown = [null, null];
  expect(await days()).toEqual([unknown, unknown, unknown]);
  const id = String((await node.must("show-user", { email: "a@example.nl" })).id);
  writeFileSync(join(node.logins, id), String(Date.parse("2026-11-20T23:59:59Z") / 1000));
  const today = new Date().toISOString().slice(0, 10);
  expect(await days()).toEqual([
    ["2026-11-20", "2026-11-20"],
    [null, today],
    [today, today],
  ]);
  writeFileSync(join(node.logins, id), "yesterday");
  expect((await days())[0]).toEqual(["2026-11-20", "2026-11-20"]);
});

test("a mailbox that Dovecot does not count is left out", async () => {
  const node = await withNode(["a@example.nl", "b@example.nl", "c@example.nl"]);
  const answers: Record<string, string> = {
    "a@example.nl": "\n-NOUSER\n",
    "b@example.nl": "x\tSTORAGE\t-\t\n+\n",
  };
  await dovecot(node.out, (user) => answers[user] ?? size(2048));
  await node.report();
  expect((await listed(node)).map(({ used_mb }) => used_mb)).toEqual([null, null, 2]);
});

test("while the server or Dovecot does not answer, the same mailboxes wait", async () => {
  const node = await withNode(["jan@example.nl"]);
  await node.report();
  expect(node.node.log.filter((line) => line.startsWith("warning"))).toEqual([]);
  const asked = await dovecot(node.out, () => size(1024));
  await node.proxy.close();
  const rest = await node.report();
  expect(node.node.log.at(-1)).toMatch(/^warning: the sizes of mailboxes are not reported for now: /);
  await node.proxy.open();
  node.clock.at += rest - 1;
  await node.report();
  expect(asked).toHaveLength(1);
  node.clock.at += 1;
  await node.report();
  expect(await counted(node)).toBe(1);
});

test("a Dovecot that is restarted while it counts is soon asked again", async () => {
  const node = await withNode(["jan@example.nl"]);
  let isRestarted = false;
  await dovecot(node.out, (_user, socket) => {
    if (!isRestarted) socket.destroy();
    return size(1024);
  });
  const rest = await node.report();
  expect(node.node.log.at(-1)).toMatch(/^warning: the sizes of mailboxes are not reported for now: /);
  expect(rest).toBeGreaterThanOrEqual(60_000);
  expect(rest).toBeLessThan(600_000);
  isRestarted = true;
  node.clock.at += rest;
  await node.report();
  expect(await counted(node)).toBe(1);
});

test("a Dovecot that knows nobody yet is asked again in a minute", async () => {
  const node = await withNode(["a@example.nl", "b@example.nl"]);
  let isSetUp = false;
  await dovecot(node.out, () => (isSetUp ? size(1024) : "\n-NOUSER\n"));
  expect(await node.report()).toBe(60_000);
  isSetUp = true;
  expect(await counted(node)).toBe(0);
  await node.report();
  expect(await counted(node)).toBe(2);
});

test("mailboxes that Dovecot does not know do not hold up the others' next day", async () => {
  const names = Array.from(
    { length: MOST_REPORTED_MAILBOXES + 1 },
    (_, index) => `u${1000 + index}@example.nl`,
  );
  const node = await withNode(names);
  const asked = await dovecot(node.out, (user) => (user === names.at(-1) ? "\n-NOUSER\n" : size(1)));
  node.clock.at += await node.report();
  await node.report(); // the last one alone
  expect(asked).toHaveLength(names.length);
  node.clock.at += DAY;
  await node.report();
  expect(asked).toHaveLength(names.length + MOST_REPORTED_MAILBOXES);
});

test("a server of an older version is asked again the next day", async () => {
  const node = await withNode(["jan@example.nl"]);
  const asked = await dovecot(node.out, () => size(1024));
  const older = createHttpServer((_, response) => response.writeHead(404).end());
  await new Promise<void>((resolve) => older.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void older.close());
  node.node.config.server.port = String((older.address() as AddressInfo).port);
  for (const later of [0, 600_000, DAY]) {
    node.clock.at = NOON + later;
    await node.report();
  }
  expect(asked).toHaveLength(2);
  expect(node.node.log.filter((line) => line.startsWith("warning"))).toEqual([]);
});

test("a clock that was set back, or a lost note of what was told, begins again", async () => {
  const node = await withNode(["jan@example.nl"]);
  const asked = await dovecot(node.out, () => size(1024));
  const note = join(node.out, "usage.json");
  await node.report();
  node.clock.at -= DAY;
  await node.report();
  rmSync(note);
  await node.report();
  writeFileSync(note, "half a no");
  await node.report();
  expect(asked).toHaveLength(4);
});
