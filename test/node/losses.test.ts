import { describe, expect, test } from "vitest";
import type { ApplyOptions } from "../../src/node/replica/comparison.ts";
import { firstLedger, passHour } from "../../src/node/replica/losses.ts";
import { writeNotes } from "../../src/node/replica/notes.ts";
import { idOf, stateOf, user } from "./answers.ts";
import { daemons, served } from "./folder.ts";
import { Life, NOON } from "./life.ts";

const HOUR = 3_600_000;

const names = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `u${String(from + index).padStart(3, "0")}@example.nl`);

/** A node that goes from list to list of mailboxes; the revision counts up by itself. */
class Node {
  readonly life: Life;
  revision = 0;

  private constructor(life: Life) {
    this.life = life;
  }

  static async of(users: readonly string[], domains?: string[]): Promise<Node> {
    const node = new Node(await Life.begin());
    expect(await node.take(users, domains === undefined ? {} : { domains })).toBe(0);
    return node;
  }

  /** @returns the number of withheld mailboxes afterwards */
  async take(
    users: readonly string[],
    given: Partial<ApplyOptions> & { history?: string; domains?: string[]; whole?: boolean } = {},
  ): Promise<number> {
    this.revision += 1;
    const { history, domains = ["example.nl"], ...circumstances } = given;
    const records = users.map((name) => user(name));
    const state = stateOf(this.revision, domains, records, history === undefined ? {} : { history });
    return (await this.life.take(state, circumstances)).withheld;
  }

  async again(given: Partial<ApplyOptions> = {}): Promise<number> {
    return (await this.life.again(given)).withheld;
  }

  /** Accepts at the node the removals up to a revision. */
  async accept(revision: number): Promise<number> {
    const { replica } = this.life;
    await writeNotes(replica, { accepted: { history: replica.meta?.history ?? "", revision } });
    return await this.again();
  }

  /** Lets hours pass, with an answer of the server in each. */
  async hours(count: number): Promise<void> {
    for (let hour = 0; hour < count; hour += 1) {
      this.life.now += HOUR;
      await this.again();
    }
  }

  get addresses(): string[] {
    return served(this.life.out).addresses;
  }

  get logins(): string[] {
    return served(this.life.out).logins;
  }
}

describe("the number of mailboxes that a node may lose at once", () => {
  test.each([
    [100, 20, 0],
    [100, 21, 21],
    [10, 5, 0],
    [10, 6, 6],
    [6, 6, 6],
    [5, 5, 0],
    [1, 1, 0],
  ])("of %i, %i go at once: %i are withheld", async (all, lost, withheld) => {
    for (const whole of [false, true]) {
      const node = await Node.of(names(0, all));
      expect(await node.take(names(lost, all), { whole })).toBe(withheld);
      expect(node.addresses).toEqual(withheld > 0 ? names(0, all) : names(lost, all));
    }
  });

  test("the removals alone are withheld: a new mailbox is served", async () => {
    const node = await Node.of(names(0, 10));
    expect(await node.take(["new@example.nl"])).toBe(10);
    expect(node.addresses).toEqual(["new@example.nl", ...names(0, 10)]);
  });

  test("a list of as many other mailboxes is a loss of all", async () => {
    const node = await Node.of(names(0, 50));
    expect(await node.take(names(50, 100))).toBe(50);
  });

  test.each([true, false])(
    "mailboxes with other addresses are no loss, however many (whole: %s)",
    async (whole) => {
      const node = await Node.of(names(0, 10));
      const renamed = (from: number, to: number) =>
        names(from, to).map((name) => user(`new-${name}`, { mailbox: idOf(name) }));
      const take = (revision: number, users: ReturnType<typeof renamed>) =>
        node.life.take(stateOf(revision, ["example.nl"], users), { whole });
      expect(await take(2, [...renamed(0, 9), user("u009@example.nl")])).toMatchObject({
        addresses: { added: 9, changed: 0, removed: 9 },
        withheld: 0,
      });
      expect(node.logins).toEqual([...names(0, 9).map((name) => `new-${name}`), "u009@example.nl"]);
      // Nor do they count later, or wait while real losses do.
      expect(await take(3, renamed(0, 5))).toMatchObject({ withheld: 0 });
      expect(await take(4, [user("u000@example.nl")])).toMatchObject({ withheld: 4 });
      expect(node.addresses).toEqual([...names(1, 5).map((name) => `new-${name}`), "u000@example.nl"]);
    },
  );

  test("another mailbox under the same address is no loss", async () => {
    const node = await Node.of(names(0, 50));
    const records = names(0, 50).map((name) => user(name, { mailbox: "f".repeat(16) }));
    expect((await node.life.take(stateOf(2, ["example.nl"], records))).withheld).toBe(0);
  });

  test("a slow loss counts like a fast one: with one mailbox an hour, the 21st of 100 in a day is withheld", async () => {
    const node = await Node.of(names(0, 100));
    for (let lost = 1; lost <= 20; lost += 1) {
      node.life.now += HOUR;
      expect(await node.take(names(lost, 100)), `${lost}`).toBe(0);
    }
    node.life.now += HOUR;
    expect(await node.take(names(21, 100))).toBe(1);
  });

  test("after 24 counted hours a loss is forgotten, and the rest is the new measure", async () => {
    const early = await Node.of(names(0, 100));
    expect(await early.take(names(20, 100))).toBe(0);
    await early.hours(23);
    expect(await early.take(names(21, 100))).toBe(1);
    const late = await Node.of(names(0, 100));
    expect(await late.take(names(20, 100))).toBe(0);
    await late.hours(24);
    expect(await late.take(names(36, 100))).toBe(0);
    expect(await late.take(names(37, 100))).toBe(1);
  });

  test("a mailbox that was removed and comes back is no loss", async () => {
    const node = await Node.of(names(0, 100));
    for (let round = 0; round < 4; round += 1) {
      expect(await node.take(names(15, 100), { whole: round % 2 > 0 })).toBe(0);
      expect(await node.take(names(0, 100), { whole: round % 2 > 0 })).toBe(0);
    }
    // And then fifteen others.
    expect(await node.take(names(0, 85))).toBe(0);
    expect(await node.take(names(0, 100))).toBe(0);
    expect(await node.take(names(21, 100))).toBe(21);
  });

  test("a loss is measured against the largest state of the day, not the last", async () => {
    const node = await Node.of(names(0, 30));
    expect(await node.take(names(0, 130))).toBe(0);
    node.life.now += HOUR;
    // 26 of 130; of the earlier thirty it would be more than a fifth.
    expect(await node.take(names(26, 130))).toBe(0);
    expect(await node.take(names(27, 130))).toBe(1);
  });

  test("a withheld removal stays withheld however long, and so does every later one", async () => {
    const node = await Node.of(names(0, 100));
    expect(await node.take(names(30, 100))).toBe(30);
    await node.hours(30);
    expect(await node.take(names(31, 100))).toBe(31);
    expect(node.addresses).toEqual(names(0, 100));
  });

  test("the withholding ends when the mailboxes come back", async () => {
    const node = await Node.of(names(0, 100));
    expect(await node.take(names(30, 100))).toBe(30);
    expect(await node.take(names(0, 100))).toBe(0);
    expect(node.logins).toEqual(names(0, 100));
    expect(await node.take(names(20, 100))).toBe(0);
    expect(await node.take(names(21, 100))).toBe(1);
  });

  test("the thresholds are settings: 100 percent withholds nothing, 0 percent and 0 users everything", async () => {
    const node = await Node.of(names(0, 100));
    expect(await node.take([], { thresholds: { percent: 100, users: 0 } })).toBe(0);
    const strict = await Node.of(names(0, 100));
    expect(await strict.take(names(1, 100), { thresholds: { percent: 0, users: 0 } })).toBe(1);
  });
});

describe("the login of a withheld mailbox", () => {
  test("ends at once for a mailbox removed by name, however many are withheld; its mail still arrives", async () => {
    const node = await Node.of(names(0, 20));
    expect(await node.take(names(10, 20))).toBe(10);
    expect(node.logins).toEqual(names(10, 20));
    // The next removed mailbox.
    expect(await node.take(names(11, 20))).toBe(11);
    const dismissed = "u010@example.nl";
    expect(daemons.login(node.life.out, dismissed)).toEqual([]);
    expect(daemons.sender(node.life.out, dismissed)).toEqual([]);
    expect(daemons.mailbox(node.life.out, dismissed)).toEqual(["OK"]);
    expect(daemons.home(node.life.out, dismissed)).toHaveLength(1);
    await node.take(names(10, 20));
    expect(node.logins).toEqual(names(10, 20));
    expect(daemons.sender(node.life.out, dismissed)).toEqual([`${dismissed}#4`]);
  });

  test("also ends if the removal comes with a whole state of the same history, role and domain", async () => {
    const node = await Node.of(names(0, 20));
    expect(await node.take(names(10, 20), { whole: true })).toBe(10);
    expect(node.logins).toEqual(names(10, 20));
  });

  test.each<[string, Parameters<Node["take"]>[1]]>([
    ["another history", { history: "f".repeat(32) }],
    ["a list without the domain", { whole: true, domains: ["other.nl"] }],
  ])("stays if the mailbox is merely absent: %s", async (_, how) => {
    const node = await Node.of(names(0, 20));
    expect(await node.take([], how)).toBe(20);
    expect(node.logins).toEqual(names(0, 20));
    expect(daemons.sender(node.life.out, "u001@example.nl")).toEqual(["u001@example.nl#1"]);
  });
});

describe("other ways to empty a node", () => {
  test("another history, a restored backup or another server: the same thresholds", async () => {
    const node = await Node.of(names(0, 100));
    expect(await node.take([], { history: "f".repeat(32) })).toBe(100);
    expect(await node.take(names(0, 100), { history: "f".repeat(32) })).toBe(0);
  });

  test("a shorter list of domains: the mailboxes stay, and their domains with them", async () => {
    const node = await Node.of([...names(0, 10), "a@other.nl"], ["example.nl", "other.nl"]);
    expect(await node.take(["a@other.nl"], { domains: ["other.nl"], whole: true })).toBe(10);
    expect(served(node.life.out).domains).toEqual(["example.nl", "other.nl"]);
    expect(await node.accept(2)).toBe(0);
    expect(served(node.life.out).domains).toEqual(["other.nl"]);
  });

  test("another role: addresses instead of mailboxes are no loss, but fewer addresses are", async () => {
    const addresses = (count: number) =>
      stateOf(
        2,
        ["example.nl"],
        names(0, count).map((name) => ({ user: name })),
        { role: "mx" },
      );
    const node = await Node.of(names(0, 10));
    expect((await node.life.take(addresses(10))).withheld).toBe(0);
    const other = await Node.of(names(0, 10));
    expect((await other.life.take(addresses(1))).withheld).toBe(9);
    expect(other.addresses).toEqual(names(0, 10));
  });
});

describe("removals that are accepted", () => {
  test("by the server up to a revision go, at once or after they were withheld", async () => {
    const node = await Node.of(names(0, 100));
    expect(await node.take([], { accepted: "1;n=1" })).toBe(100);
    expect(await node.again({ accepted: "1;n=1" })).toBe(100);
    expect(await node.again({ accepted: "2;n=1" })).toBe(0);
    expect(node.addresses).toEqual([]);
    const other = await Node.of(names(0, 100));
    expect(await other.take([], { accepted: "2;n=1" })).toBe(0);
  });

  test("at the node: the withheld ones go, and later ones within the thresholds", async () => {
    const node = await Node.of(names(0, 100));
    await node.take(names(50, 100));
    // Ten of the remaining fifty, and then one more.
    await node.take(names(60, 100));
    expect(await node.accept(2)).toBe(0);
    expect(node.addresses).toEqual(names(60, 100));
    expect(await node.take(names(61, 100))).toBe(1);
  });

  test("at the node: later ones beyond the thresholds stay", async () => {
    const node = await Node.of(names(0, 100));
    await node.take(names(50, 100));
    await node.take(names(61, 100));
    expect(await node.accept(2)).toBe(11);
    expect(node.addresses).toEqual(names(50, 100));
    expect(await node.accept(3)).toBe(0);
  });

  test("an old acceptance covers no new removal, and changes no threshold", async () => {
    const node = await Node.of(names(0, 100));
    await node.take(names(50, 100));
    await node.again({ accepted: "2;n=1" });
    expect(await node.take(names(60, 100), { accepted: "2;n=1" })).toBe(0);
    expect(await node.take(names(61, 100), { accepted: "2;n=1" })).toBe(1);
    const other = await Node.of(names(0, 100));
    expect(await other.take(names(20, 100), { accepted: "99;n=1" })).toBe(0);
    expect(await other.take(names(21, 100), { accepted: "1;n=1" })).toBe(1);
  });

  test("an acceptance for another history is ignored, until there is another acceptance", async () => {
    const node = await Node.of(names(0, 100));
    expect(await node.take([], { history: "f".repeat(32), accepted: "9;n=1" })).toBe(100);
    expect(await node.again({ accepted: "9;n=1" })).toBe(100);
    expect(await node.again({ accepted: "2;n=1" })).toBe(0);
  });
});

describe("counted hours", () => {
  const ledger = firstLedger(NOON);

  test.each([
    ["within the hour", 3_599_999, 0],
    ["an hour later", 3_600_000, 1],
    ["after a week of silence", 7 * 86_400_000, 1],
    ["a year on", 31_536_000_000, 1],
    ["a moment back", -1000, 0],
    ["a year back", -31_536_000_000, 0],
  ])("%s", (_, passed, count) => {
    expect(passHour(ledger, NOON + passed).hours.count).toBe(count);
  });

  test("after a jump back the hours pass as before", () => {
    const back = passHour(ledger, NOON - 31_536_000_000);
    expect(passHour(back, NOON - 31_536_000_000 + HOUR).hours.count).toBe(1);
  });
});
