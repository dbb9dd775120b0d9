import { describe, expect, it } from "vitest";
import {
  type Circumstances,
  DEFAULT_THRESHOLDS,
  type Kept,
  passHour,
  servedOf,
  settle,
} from "../../src/agent/losses.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import { stateOf, user } from "./support.ts";

const names = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `u${String(from + index).padStart(3, "0")}@example.nl`);

/** A node that goes from state to state; the revision counts up by itself. */
class Life {
  kept: Kept | undefined;
  revision = 0;
  hour = 0;

  /** @returns how many users are withheld then */
  take(
    users: readonly string[],
    given: Partial<Circumstances> & { history?: string; domains?: string[] } = {},
  ): number {
    this.revision += 1;
    const { history, domains = ["example.nl"], ...circumstances } = given;
    const state = stateOf(
      this.revision,
      domains,
      users.map((name) => user(name)),
      history ? { history } : {},
    );
    this.kept = settle(this.kept, state, {
      hour: this.hour,
      thresholds: DEFAULT_THRESHOLDS,
      ...circumstances,
    });
    return this.kept.withheld.size;
  }

  again(given: Partial<Circumstances>): number {
    if (this.kept === undefined) throw new Error("nothing yet");
    this.kept = settle(this.kept, this.kept.server, {
      hour: this.hour,
      thresholds: DEFAULT_THRESHOLDS,
      ...given,
    });
    return this.kept.withheld.size;
  }

  get served(): string[] {
    return this.kept === undefined ? [] : [...servedOf(this.kept).users.keys()].sort();
  }
}

function lifeOf(users: readonly string[]): Life {
  const life = new Life();
  expect(life.take(users)).toBe(0);
  return life;
}

describe("how many users a node may lose at once", () => {
  it.each([
    [100, 19, 0],
    [100, 20, 0],
    [100, 21, 21],
    [100, 100, 100],
    [10, 5, 0],
    [10, 6, 6],
    [6, 5, 0],
    [6, 6, 6],
    [5, 5, 0],
    [1, 1, 0],
  ])("of %i, %i go at once: %i are withheld", (all, lost, withheld) => {
    const life = lifeOf(names(0, all));
    expect(life.take(names(lost, all))).toBe(withheld);
    expect(life.served).toEqual(withheld > 0 ? names(0, all) : names(lost, all));
  });

  it("a first state may be empty, and so may what comes after it", () => {
    const life = lifeOf([]);
    expect(life.take([])).toBe(0);
  });

  it("the removals alone are withheld: whoever comes is served", () => {
    const life = lifeOf(names(0, 10));
    expect(life.take(["new@example.nl"])).toBe(10);
    expect(life.served).toEqual(["new@example.nl", ...names(0, 10)]);
  });

  it("other users in the place of all is a loss of all, though they are as many", () => {
    const life = lifeOf(names(0, 50));
    expect(life.take(names(50, 100))).toBe(50);
  });

  it("another mailbox under the same address is no loss", () => {
    const life = lifeOf(names(0, 50));
    const state = stateOf(
      2,
      ["example.nl"],
      names(0, 50).map((name) => user(name, { mailbox: "f".repeat(16) })),
    );
    expect(settle(life.kept, state, { hour: 0, thresholds: DEFAULT_THRESHOLDS }).withheld.size).toBe(0);
  });

  it("a slow loss counts as a fast one: one user an hour, and the 21st of 100 in a day stays", () => {
    const life = lifeOf(names(0, 100));
    for (let lost = 1; lost <= 20; lost += 1) {
      life.hour += 1;
      expect(life.take(names(lost, 100)), `${lost}`).toBe(0);
    }
    life.hour += 1;
    expect(life.take(names(21, 100))).toBe(1);
  });

  it("after 24 counted hours a loss is forgotten, and measured against what is left", () => {
    const life = lifeOf(names(0, 100));
    expect(life.take(names(20, 100))).toBe(0);
    life.hour += 23;
    const early = { ...life.kept } as Kept;
    expect(life.take(names(21, 100))).toBe(1);
    life.kept = early;
    life.hour += 1;
    expect(life.take(names(36, 100))).toBe(0);
    expect(life.take(names(37, 100))).toBe(1);
  });

  it("a user who was removed and comes back is no loss", () => {
    const life = lifeOf(names(0, 100));
    for (let round = 0; round < 10; round += 1) {
      expect(life.take(names(15, 100))).toBe(0);
      expect(life.take(names(0, 100))).toBe(0);
    }
    // And then fifteen others.
    expect(life.take(names(0, 85))).toBe(0);
    expect(life.take(names(0, 100))).toBe(0);
    expect(life.take(names(21, 100))).toBe(21);
  });

  it("what is withheld is measured against the largest state of the day, not the last", () => {
    const life = lifeOf(names(0, 30));
    expect(life.take(names(0, 130))).toBe(0);
    life.hour += 1;
    // 26 of 130, and it would be more than a fifth of the thirty of before.
    expect(life.take(names(26, 130))).toBe(0);
    expect(life.take(names(27, 130))).toBe(1);
  });

  it("stays withheld whatever time passes, and so does every removal after it", () => {
    const life = lifeOf(names(0, 100));
    expect(life.take(names(30, 100))).toBe(30);
    life.hour += 1000;
    expect(life.take(names(31, 100))).toBe(31);
    expect(life.served).toEqual(names(0, 100));
  });

  it("stays withheld also when the loss of before is forgotten, and it would be small by now", () => {
    const life = lifeOf(names(0, 100));
    expect(life.take(names(15, 100))).toBe(0);
    life.hour += 1;
    expect(life.take(names(25, 100))).toBe(10);
    life.hour += 1000;
    expect(life.take(names(25, 100))).toBe(10);
    expect(life.again({})).toBe(10);
  });

  it("comes to an end when the users come back", () => {
    const life = lifeOf(names(0, 100));
    expect(life.take(names(30, 100))).toBe(30);
    expect(life.take(names(0, 100))).toBe(0);
    expect(life.take(names(20, 100))).toBe(0);
    expect(life.take(names(21, 100))).toBe(1);
  });

  it("the thresholds are settings: 100 percent withholds nothing, 0 percent and 0 users everything", () => {
    const life = lifeOf(names(0, 100));
    expect(life.take([], { thresholds: { percent: 100, users: 0 } })).toBe(0);
    const strict = lifeOf(names(0, 100));
    expect(strict.take(names(1, 100), { thresholds: { percent: 0, users: 0 } })).toBe(1);
  });
});

describe("what else might empty a node", () => {
  it("another history, a restored backup or another server: the same thresholds", () => {
    const life = lifeOf(names(0, 100));
    expect(life.take([], { history: "f".repeat(32) })).toBe(100);
    expect(life.take(names(0, 100), { history: "f".repeat(32) })).toBe(0);
  });

  it("a shorter list of domains: the users stay, and their domains with them", () => {
    const life = new Life();
    life.take([...names(0, 10), "a@other.nl"], { domains: ["example.nl", "other.nl"] });
    expect(life.take(["a@other.nl"], { domains: ["other.nl"] })).toBe(10);
    const served = servedOf(life.kept as Kept);
    expect([...served.domains.keys()].sort()).toEqual(["example.nl", "other.nl"]);
    const digest = new StateDigest();
    for (const record of [...served.domains.values(), ...served.users.values()]) digest.add(record);
    expect(served.digest).toBe(digest.toString());
  });

  it("another role: addresses in the place of mailboxes are no loss, and fewer of them are", () => {
    const life = lifeOf(names(0, 10));
    const addresses = (count: number) =>
      stateOf(
        2,
        ["example.nl"],
        names(0, count).map((name) => ({ user: name })),
        { role: "mx" },
      );
    const circumstances = { hour: 0, thresholds: DEFAULT_THRESHOLDS };
    expect(settle(life.kept, addresses(10), circumstances).withheld.size).toBe(0);
    expect(settle(life.kept, addresses(1), circumstances).withheld.size).toBe(9);
  });
});

describe("removals that are accepted", () => {
  it("by the server up to that revision: they go, at once or when they were withheld before", () => {
    const life = lifeOf(names(0, 100));
    expect(life.take([], { accepted: "1;n=1" })).toBe(100);
    expect(life.again({ accepted: "1;n=1" })).toBe(100);
    expect(life.again({ accepted: "2;n=1" })).toBe(0);
    expect(life.served).toEqual([]);
    const other = lifeOf(names(0, 100));
    expect(other.take([], { accepted: "2;n=1" })).toBe(0);
  });

  it("on the node: what was withheld then goes, and what came after it within the thresholds", () => {
    const life = lifeOf(names(0, 100));
    life.take(names(50, 100));
    // Ten of the fifty that are left, and then one more.
    life.take(names(60, 100));
    expect(life.again({ acceptedHere: 2 })).toBe(0);
    expect(life.served).toEqual(names(60, 100));
    expect(life.take(names(61, 100))).toBe(1);
  });

  it("what came after it beyond the thresholds stays", () => {
    const life = lifeOf(names(0, 100));
    life.take(names(50, 100));
    life.take(names(61, 100));
    expect(life.again({ acceptedHere: 2 })).toBe(11);
    expect(life.served).toEqual(names(50, 100));
    expect(life.again({ acceptedHere: 3 })).toBe(0);
  });

  it("an old acceptance lets nothing new through, and loosens nothing", () => {
    const life = lifeOf(names(0, 100));
    life.take(names(50, 100));
    life.again({ accepted: "2;n=1" });
    expect(life.take(names(60, 100), { accepted: "2;n=1" })).toBe(0);
    expect(life.take(names(61, 100), { accepted: "2;n=1" })).toBe(1);
    const other = lifeOf(names(0, 100));
    expect(other.take(names(20, 100), { accepted: "99;n=1" })).toBe(0);
    expect(other.take(names(21, 100), { accepted: "1;n=1" })).toBe(1);
  });

  it("an acceptance meant for another history is none in this one, until there is another", () => {
    const life = lifeOf(names(0, 100));
    expect(life.take([], { history: "f".repeat(32), accepted: "9;n=1" })).toBe(100);
    expect(life.again({ accepted: "9;n=1" })).toBe(100);
    expect(life.again({ accepted: "2;n=1" })).toBe(0);
  });
});

describe("counted hours", () => {
  const at = "2026-01-01T00:00:00.000Z";
  const now = Date.parse(at);
  const hours = { count: 7, at };

  it.each([
    ["within the hour", 3_599_999, 7],
    ["an hour later", 3_600_000, 8],
    ["after a week of silence", 7 * 86_400_000, 8],
    ["a year on", 31_536_000_000, 8],
    ["a moment back", -1000, 7],
    ["an hour back", -3_600_000, 7],
    ["a year back", -31_536_000_000, 7],
  ])("%s", (_, passed, count) => {
    expect(passHour(hours, now + passed).count).toBe(count);
  });

  it("a clock that jumps a day on for each poll opens no door in a day's polls", () => {
    const life = lifeOf(names(0, 100));
    let clock = { count: 0, at };
    for (let poll = 1; poll <= 20; poll += 1) {
      clock = passHour(clock, now + poll * 86_400_000);
      life.hour = clock.count;
      expect(life.take(names(poll, 100))).toBe(0);
    }
    expect(life.take(names(21, 100))).toBe(1);
  });

  it("after a jump back the hours pass as before", () => {
    const back = passHour(hours, now - 31_536_000_000);
    expect(passHour(back, now - 31_536_000_000 + 3_600_000).count).toBe(8);
  });
});
