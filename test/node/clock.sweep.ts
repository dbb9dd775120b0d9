/** A node whose clock jumps, with the real server. */
import { describe, expect, it } from "vitest";
import { main } from "../../src/node/cli.ts";
import { realServer } from "./real-server.ts";
import { quickClock, serves } from "./support.ts";

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
const USERS = Array.from({ length: 10 }, (_, index) => `u${index}@example.nl`);

/** A node with ten mailboxes whose clock the test sets. */
async function clockedNode() {
  const clock = { now: Date.now() };
  const real = await realServer(USERS, { parts: { clock: { ...quickClock, now: () => clock.now } } });
  expect((await real.node.poll()).exitCode).toBe(0);
  const remove = async (users: readonly string[]): Promise<void> => {
    for (const email of users) await real.must("remove-user", { email });
  };
  return { ...real, clock, remove };
}

describe("a clock that jumps", () => {
  it.each([
    ["an hour back", -HOUR],
    ["a year back", -YEAR],
    ["an hour on", HOUR],
    ["a year on", YEAR],
  ])("%s between two losses: the node remembers the first, and withholds the second", async (_, jump) => {
    const { node, clock, remove } = await clockedNode();
    await remove(USERS.slice(0, 5));
    expect((await node.poll()).exitCode).toBe(0);
    clock.now += jump;
    expect((await node.poll()).exitCode).toBe(0);
    await remove(USERS.slice(5));
    expect((await node.poll()).exitCode).toBe(65);
    expect(serves(node.config.out).mailboxes).toEqual(USERS.slice(5));
  });

  it("a year ahead and back, ten times: nothing is forgotten", async () => {
    const { node, clock, remove } = await clockedNode();
    await remove(USERS.slice(0, 5));
    for (let time = 0; time < 10; time += 1) {
      clock.now += YEAR;
      expect((await node.poll()).exitCode).toBe(0);
      clock.now -= YEAR;
      expect((await node.poll()).exitCode).toBe(0);
    }
    await remove(USERS.slice(5));
    expect((await node.poll()).exitCode).toBe(65);
  });

  it("changes nothing else: changes are applied, and withheld removals stay withheld", async () => {
    const { node, clock, must, remove, listed } = await clockedNode();
    const { out } = node.config;
    await remove(USERS.slice(0, 8));
    expect((await node.poll()).exitCode).toBe(65);
    for (const [index, jump] of [YEAR, -YEAR, -HOUR, HOUR, -YEAR].entries()) {
      clock.now += jump;
      const email = `new${index}@example.nl`;
      await must("add-user", { email, password: "correct horse" });
      expect((await node.poll()).exitCode).toBe(65);
      expect(serves(out).mailboxes).toEqual(expect.arrayContaining([...USERS, email]));
      await expect.poll(listed).toMatchObject({ reason: "removals_withheld", reason_count: 8 });
    }
    node.printed.length = 0;
    expect(await main(["status", "--out", out], {}, node.machine, new AbortController().signal)).toBe(65);
    expect(node.printed.join("")).toContain("withheld    8 addresses");
  });
});
