/** A soak of the programs as they are shipped: two servers, their nodes and two PostgreSQL, each of which is lost again and again. */
import { join } from "node:path";
import bcrypt from "bcrypt";
import { describe, expect, onTestFinished, test } from "vitest";
import { MailError } from "../../../src/mail/error.ts";
import type { AddressRecord, UserRecord } from "../../../src/sync/records.ts";
import { canLogin } from "../../mail/mailbox.ts";
import { ask, served, servedAliases } from "../../node/folder.ts";
import { usersIn } from "../../node/support.ts";
import { activeUsers } from "../../support/mail-model.ts";
import { POSTGRESQL } from "../../support/postgresql.ts";
import { servedState } from "../../support/recount.ts";
import { Losses } from "./soak/losses.ts";
import { MOVED, type Storm, startStorm, WHOLE } from "./soak/storm.ts";
import { makeWorld, type World } from "./soak/world.ts";

const { ROUNDS, MINUTES, SEED } = process.env;
/** In each round everything is lost once. ROUNDS=100 for a night, or MINUTES=30. */
const rounds = MINUTES === undefined ? Number(ROUNDS ?? 2) : Number.POSITIVE_INFINITY;
const minutes = Number(MINUTES ?? 600);
/** The same seed makes the same calls and losses. */
const seed = Number(SEED ?? Date.now() % 1_000_000);
/** Rounds between two lines about memory and open files. */
const TELL_EVERY = 10;

const say = (line: string) => void process.stdout.write(`${line}\n`);

describe.skipIf(POSTGRESQL === undefined)("two servers, their nodes and two PostgreSQL", () => {
  test(
    "whichever is lost at any moment, no acknowledged change is, nothing half done is shown, and all come back",
    async () => {
      say(`SEED=${seed}`);
      const world = await makeWorld();
      const moved = () => world.nodes.map(({ out }) => String(ask(join(out, "addresses.db"), MOVED)));
      await expect.poll(moved).toEqual(world.nodes.map(() => WHOLE[0]));
      const before = await useOf(world);
      const storm = startStorm(world, seed);
      onTestFinished(() => storm.end());
      const losses = new Losses(world, storm, seed);
      const end = Date.now() + minutes * 60_000;
      const lose = async () => {
        for (let round = 1; round <= rounds && Date.now() < end; round += 1) {
          await losses.round();
          if (round % TELL_EVERY === 0) say(`round ${round}: ${described(await useOf(world))}`);
        }
        storm.end();
      };
      await Promise.all([storm.ended, lose()]);
      await compareAll(world, storm);
      expect(await world.store.figures()).toMatchObject({
        timeline: 1 + losses.promotions,
        isSynchronous: true,
      });
      await leavesNothingOpen(world, before);
      await readLogs(world);
      const answers = storm.callers.reduce((sum, caller) => sum + caller.answers, 0);
      say(`${losses.promotions} promotions, ${answers} answers`);
      tellRecoveries(losses);
    },
    (minutes + 20) * 60_000,
  );
});

/** The nodes serve the database's state, which is what the callers know. Each revision is there, and was told once. */
async function compareAll(world: World, { callers }: Storm): Promise<void> {
  const state = await servedState(world.store);
  const users = [...state.users.values()].sort((one, other) => (one.user < other.user ? -1 : 1));
  const domains = [...state.domains.keys()].sort();
  for (const { out } of world.nodes) {
    await expect
      .poll(() => [usersIn(out), served(out).domains, servedAliases(out)])
      .toEqual([users.map(withoutLimit), domains, [...state.aliases.values()]]);
  }
  const models = callers.map(({ model }) => model);
  expect(domains).toEqual(["marks.nl", ...models.flatMap((model) => [...model.keys()])].sort());
  const wanted = models.flatMap((model) => [...activeUsers(model)]);
  const ofCallers = users.flatMap(({ user }) => (user.endsWith("@marks.nl") ? [] : [user]));
  expect(ofCallers).toEqual(wanted.map(([user]) => user).sort());
  for (const [user, { password, quota }] of wanted) {
    expect(state.users.get(user)).toMatchObject({ quota_mb: quota });
    if (!user.endsWith("@moving.nl")) await opens(world, user, password);
  }
  const revisions = callers.flatMap((caller) => caller.revisions);
  expect(new Set(revisions).size).toBe(revisions.length);
  const [{ count, span } = {}] = await world.pair.query(
    "SELECT count(*)::int AS count, (max(revision) - min(revision) + 1)::int AS span FROM revisions",
  );
  expect(count).toBe(span);
  expect(world.bugs.filter((bug) => !(bug instanceof MailError))).toEqual([]);
}

/** The acknowledged password is the mailbox's, and opens it at Dovecot. */
async function opens({ lab, nodes }: World, user: string, password: string): Promise<void> {
  const [record] = usersIn(String(nodes[0]?.out)).filter((one) => one.user === user);
  expect(await bcrypt.compare(password, String(record?.password.replace("{BLF-CRYPT}", "")))).toBe(true);
  if (lab.daemons !== undefined) expect(await canLogin(lab.daemons, { address: user, password })).toBe(true);
}

/** A mailbox as usersIn() tells it. */
function withoutLimit(record: UserRecord | AddressRecord): UserRecord | AddressRecord {
  const { sending_limit: _, ...others } = { sending_limit: undefined, ...record };
  return others;
}

/** Connections to the database, and what each program uses. */
async function useOf({ pair, servers, nodes }: World) {
  const [{ count } = {}] = await pair.query(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'm25-mail'",
  );
  const programs = [...servers, ...nodes].map(({ name, uses }) => ({ name, ...uses }));
  return { connections: Number(count), programs };
}

type Use = Awaited<ReturnType<typeof useOf>>;

/** Connections that may stay open: those of a server's pools, and those of its callers. */
const KEPT = 25;

/** Programs that were never ended have no more open than at the beginning, besides what they keep for the next call. */
async function leavesNothingOpen(world: World, before: Use): Promise<void> {
  const after = await useOf(world);
  say(`before: ${described(before)}\nafter: ${described(after)}`);
  const operators = [...world.servers, world.store];
  expect(after.connections).toBeLessThanOrEqual(before.connections + KEPT * operators.length);
  const neverEnded = [...world.servers, ...world.nodes].filter(({ restarts }) => restarts === 0);
  expect(neverEnded.length).toBeGreaterThan(1);
  for (const { name } of neverEnded) {
    const [first, last] = [before, after].map(
      ({ programs }) => programs.find((one) => one.name === name)?.files,
    );
    expect(last).toBeLessThanOrEqual(Number(first) + KEPT);
  }
}

function described({ connections, programs }: Use): string {
  const uses = programs.map(({ name, memory, files }) => `${name} ${memory} MB ${files} files`);
  return `${connections} connections, ${uses.join(", ")}`;
}

const TIME = "\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z";
/** A server's lines: a bug would be an error. */
const SERVER_LINE = new RegExp(`^${TIME} (info|warn) `);
/**
 * A node's lines: its changes, and servers that are away. One that is killed right after its first state has not noted its files yet:
 * when it starts again, mail waits until the server has answered.
 */
const NODE_LINE = new RegExp(
  `^${TIME} (m25-mail-node \\S+ keeps |stopped$|applied revision |warning: the (server did not take the |sizes of mailboxes are not reported for now: the server )|the server (answered 50[234]$|cannot be reached: )|warning: Dovecot does not answer|logins\\.db was replaced or put back: mail waits )`,
);

async function readLogs({ servers, nodes }: World): Promise<void> {
  for (const program of [...servers, ...nodes]) {
    expect(await program.end("SIGTERM")).toMatchObject({ code: 0 });
    const expected = servers.some(({ name }) => name === program.name) ? SERVER_LINE : NODE_LINE;
    const lines = (await program.log()).trimEnd().split("\n");
    expect({ of: program.name, lines: lines.filter((line) => !expected.test(line)) }).toEqual({
      of: program.name,
      lines: [],
    });
  }
}

function tellRecoveries({ recoveries }: Losses): void {
  for (const [after, all] of Map.groupBy(recoveries, (one) => one.after)) {
    const spread = (of: "first" | "each" | "nodes") => {
      const times = all.map((one) => one[of]).sort((one, other) => one - other);
      return `${times[Math.floor(times.length / 2)]} (at most ${times.at(-1)})`;
    };
    say(
      `${all.length} x ${after}: first change after ${spread("first")} ms, at each server ${spread("each")}, at all nodes ${spread("nodes")}`,
    );
  }
}
