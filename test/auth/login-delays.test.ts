import fc from "fast-check";
import { expect, test } from "vitest";
import { LoginDelays } from "../../src/auth/login-delays.ts";
import { OperatorLogin } from "../../src/auth/operator-login.ts";
import { PriorityQueue } from "../../src/auth/priority-queue.ts";
import { PasswordHasher } from "../../tools/call/password-hash.ts";
import { testStore } from "../support/store.ts";

const MINUTE = 60_000;

function delays() {
  const clock = { now: 0 };
  const tested = new LoginDelays(() => clock.now);
  const fail = (address: string) => {
    const delay = tested.begin(address);
    tested.end(address, "wrong");
    return delay;
  };
  return { clock, tested, fail };
}

test("a few wrong passwords cost nothing, then each failure doubles the wait, up to twenty seconds", () => {
  const { fail } = delays();
  const waits = Array.from({ length: 10 }, () => fail("192.0.2.1"));
  expect(waits).toEqual([0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
});

test("one address's failures do not delay others, and a right password resets its own delay", () => {
  const { tested, fail } = delays();
  for (let attempt = 0; attempt < 8; attempt += 1) fail("192.0.2.1");
  expect(tested.begin("192.0.2.2")).toBe(0);
  tested.end("192.0.2.2", "right");
  expect(tested.begin("192.0.2.1")).toBe(20_000);
  tested.end("192.0.2.1", "right");
  expect(tested.begin("192.0.2.1")).toBe(0);
});

test("attempts made at once wait as if they came one after another, and at most ten are let in", () => {
  const { tested } = delays();
  const waits = Array.from({ length: 12 }, () => tested.begin("192.0.2.1"));
  expect(waits).toEqual([0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, undefined, undefined]);
});

test("all addresses of an IPv6 network share one delay", () => {
  const { fail, tested } = delays();
  for (let attempt = 0; attempt < 5; attempt += 1) fail(`2001:db8:1:2::${attempt + 1}`);
  expect(tested.begin("2001:db8:1:2:ffff::1")).toBe(4000);
  expect(tested.begin("2001:db8:1:3::1")).toBe(0);
});

test("many failures from many addresses make everybody wait two seconds, for a quarter of an hour", () => {
  const { clock, fail, tested } = delays();
  for (let host = 0; host < 50; host += 1) fail(`192.0.2.${host}`);
  expect(tested.begin("198.51.100.1")).toBe(2000);
  tested.end("198.51.100.1", "right");
  clock.now += 16 * MINUTE;
  expect(tested.begin("198.51.100.2")).toBe(0);
});

test("one failure is forgotten each minute, and no delay lasts longer than a quarter of an hour", () => {
  const { clock, fail } = delays();
  for (let attempt = 0; attempt < 6; attempt += 1) fail("192.0.2.1");
  clock.now += MINUTE;
  expect(fail("192.0.2.1")).toBe(4000);
  for (let attempt = 0; attempt < 1000; attempt += 1) fail("192.0.2.1");
  clock.now += 16 * MINUTE;
  expect(fail("192.0.2.1")).toBe(0);
});

test("sixty thousand IPv6 networks of one owner share a delay, after a few more failures", () => {
  const { fail, tested } = delays();
  const waits = Array.from({ length: 30 }, (_, network) => fail(`2001:db8:1:${network.toString(16)}::1`));
  expect(waits.slice(0, 20)).toEqual(Array(20).fill(0));
  expect(waits.slice(20)).toEqual([1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000, 20_000, 20_000]);
  expect(tested.begin("2001:db8:2::1")).toBe(0);
  const atOnce = Array.from({ length: 40 }, (_, network) => tested.begin(`2001:db8:1:f${network}::1`));
  expect(atOnce.filter((wait) => wait !== undefined)).toHaveLength(30);
});

test("in the queue the caller with the fewest failures comes first, and the one with the most is sent away", async () => {
  const queue = new PriorityQueue(3);
  const looked: string[] = [];
  const { promise, resolve: finish } = Promise.withResolvers<void>();
  const first = queue.run(5, () => promise);
  const come = (who: string, failures: number) => queue.run(failures, async () => looked.push(who));
  const others = [
    come("guesser", 9),
    come("another guesser", 7),
    come("operator", 0),
    come("somebody", 0),
    come("one too many", 9),
  ];
  finish();
  await first;
  expect((await Promise.all(others)).map((turn) => turn !== undefined)).toEqual([
    false,
    true,
    true,
    true,
    false,
  ]);
  expect(looked).toEqual(["operator", "somebody", "another guesser"]);
});

test("nobody is locked out: whatever was tried, an address waits twenty seconds at most", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.nat(20 * MINUTE))), (attempts) => {
      const { clock, fail, tested } = delays();
      for (const [host, later] of attempts) {
        fail(`192.0.2.${host}`);
        clock.now += later;
      }
      const wait = tested.begin("192.0.2.0");
      expect(wait).toBeLessThanOrEqual(20_000);
    }),
  );
});

test("the operator's password is right, wrong, or not set", async () => {
  const { store } = testStore();
  const login = new OperatorLogin(store, 10);
  expect(await login.hasPassword()).toBe(false);
  expect(await login.check("", "192.0.2.1")).toBe("wrong");
  expect(await login.check("u".repeat(31), "192.0.2.1")).toBe("wrong");
  // The same letters are other code points (NFC, NFD) when typed on another system.
  const hash = await new PasswordHasher(10).hash("correct h\u00f6rse battery");
  await store.write((tables) => tables.operator.setPasswordHash(hash, new Date().toISOString()));
  expect(await login.hasPassword()).toBe(true);
  expect(await login.check("correct horse battery", "192.0.2.2")).toBe("wrong");
  expect(await login.check("correct ho\u0308rse battery", "192.0.2.3")).toBe("right");
});

test("after three wrong operator passwords the answer to the fourth is delayed", async () => {
  const login = new OperatorLogin(testStore().store, 4);
  for (let times = 0; times < 3; times += 1) await login.check("wrong", "192.0.2.1");
  const answered: string[] = [];
  const check = async (address: string) => {
    expect(await login.check("wrong", address)).toBe("wrong");
    answered.push(address);
  };
  await Promise.all([check("192.0.2.1"), check("192.0.2.2")]);
  expect(answered).toEqual(["192.0.2.2", "192.0.2.1"]);
});

test("waiting guessers do not delay an operator without failures", async () => {
  const { store } = testStore();
  const hash = await new PasswordHasher(10).hash("correct horse battery");
  await store.write((tables) => tables.operator.setPasswordHash(hash, new Date().toISOString()));
  const login = new OperatorLogin(store, 10);
  const addresses = Array.from({ length: 20 }, (_, host) => `192.0.2.${host}`);
  for (const address of addresses) await login.check("wrong", address);
  const order: string[] = [];
  const guesses = addresses.map(async (address) => {
    await login.check("wrong", address);
    order.push("guesser");
  });
  expect(await login.check("correct horse battery", "198.51.100.1")).toBe("right");
  order.push("operator");
  await Promise.all(guesses);
  expect(order.indexOf("operator")).toBeLessThan(3);
});

test("the right password is accepted while others guess", async () => {
  const { store } = testStore();
  const hash = await new PasswordHasher(10).hash("correct horse battery");
  await store.write((tables) => tables.operator.setPasswordHash(hash, new Date().toISOString()));
  const login = new OperatorLogin(store, 10);
  const guesses = Array.from({ length: 3 }, () => login.check("wrong", "192.0.2.1"));
  const others = login.check("correct horse battery", "192.0.2.2");
  expect(await others).toBe("right");
  expect(await Promise.all(guesses)).toEqual(["wrong", "wrong", "wrong"]);
});
