import fc from "fast-check";
import { expect, test } from "vitest";
import { CallLimits, type CallsPerMinute } from "../../../tools/call/call-limits.ts";
import { LeakyBuckets } from "../../../tools/call/leaky-buckets.ts";
import { operator, type Principal } from "../../../tools/call/principal.ts";
import { RateLimit } from "../../../tools/call/rate-limit.ts";
import { expectRefusal } from "../../support/outcome.ts";
import { PASSWORD, testStore } from "../../support/store.ts";

const claude: Principal = { ...operator("cli"), name: "claude", door: "mcp" };
const cursor: Principal = { ...claude, name: "cursor" };

/** A store with these limits and a clock that only the test moves. */
function limited(perMinute: CallsPerMinute) {
  let ms = 0;
  const store = testStore();
  store.runtime.limits = new CallLimits(perMinute, () => ms);
  return { ...store, later: (seconds: number) => (ms += seconds * 1000) };
}

async function setPasswords(count: number, { run }: ReturnType<typeof limited>, principal = claude) {
  const outcomes = Array.from({ length: count }, () =>
    run("update-password", { email: "jan@example.nl", password: PASSWORD }, principal),
  );
  return (await Promise.all(outcomes)).filter(({ ok }) => ok).length;
}

async function withJan(perMinute: CallsPerMinute) {
  const store = limited(perMinute);
  const { limits } = store.runtime;
  delete store.runtime.limits;
  await store.must("add-domain", { domain: "example.nl" });
  await store.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  if (limits !== undefined) store.runtime.limits = limits;
  return store;
}

test("passwords above the limit per minute are refused with the time to wait, and others are served", async () => {
  const store = await withJan({ passwords: 6 });
  expect(await setPasswords(8, store)).toBe(6);
  const refused = await store.run("update-password", { email: "jan@example.nl", password: PASSWORD }, claude);
  expectRefusal(refused, "busy");
  expect(refused).toMatchObject({ error: { retryAfter: 10 } });
  expect(await setPasswords(1, store, cursor)).toBe(1);
  expect((await store.run("list-users", {}, claude)).ok).toBe(true);
  store.later(10);
  expect(await setPasswords(2, store)).toBe(1);
  store.later(60);
  expect(await setPasswords(8, store)).toBe(6);
});

test("passwords that are invalid or forbidden do not count", async () => {
  const store = await withJan({ passwords: 2 });
  for (let index = 0; index < 10; index += 1) {
    const short = { email: "jan@example.nl", password: "short" };
    expectRefusal(await store.run("update-password", short, claude), "invalid_input");
    const reader = { ...claude, scopes: new Set(["read"] as const) };
    const good = { email: "jan@example.nl", password: PASSWORD };
    expectRefusal(await store.run("update-password", good, reader), "forbidden");
  }
  expect(await setPasswords(3, store)).toBe(2);
});

test("hard deletes and removed domains have a limit of their own, and soft deletes do not count", async () => {
  const store = await withJan({ destructive: 2 });
  const hard = { email: "jan@example.nl", hard_delete: true };
  for (let index = 0; index < 5; index += 1) {
    expect((await store.run("remove-user", { email: "jan@example.nl" }, claude)).ok).toBe(true);
  }
  expect((await store.run("remove-user", hard, claude)).ok).toBe(true);
  expectRefusal(await store.run("remove-user", hard, claude), "user_not_found");
  expectRefusal(await store.run("remove-domain", { domain: "example.nl" }, claude), "busy");
  expect(await store.must("list-domains")).toMatchObject({ total: 1 });
  store.later(30);
  expect((await store.run("remove-domain", { domain: "example.nl" }, claude)).ok).toBe(true);
});

test("calls of all kinds share one limit, and without limits nothing is refused", async () => {
  const store = limited({ calls: 2 });
  expect((await store.run("list-domains", {}, claude)).ok).toBe(true);
  expect((await store.run("add-domain", { domain: "a.nl" }, claude)).ok).toBe(true);
  expectRefusal(await store.run("add-domain", { domain: "b.nl" }, claude), "busy");
  expectRefusal(await store.run("list-nodes", {}, claude), "busy");
  expectRefusal(await store.run("add-domain", { domain: "no domain" }, claude), "busy");
  expectRefusal(await store.run("add-domain", { domain: "no domain" }, cursor), "invalid_input");
  const free = limited({});
  for (let index = 0; index < 50; index += 1) await free.must("list-domains");
});

test("a list counts as one call per hundred rows, and a change or an empty list as one", async () => {
  const store = limited({ calls: 6 });
  await store.store.write(async ({ domains }) => {
    for (let index = 0; index < 250; index += 1) await domains.add(`d${index}.nl`, new Date().toISOString());
  });
  const list = (limit: number) => store.run("list-domains", { limit }, claude);
  expect((await list(250)).ok).toBe(true);
  for (const limit of [1, 100, 100]) expect((await list(limit)).ok).toBe(true);
  expectRefusal(await list(1), "busy");
  store.later(10);
  expect((await list(250)).ok).toBe(true);
  expectRefusal(await list(1), "busy");
});

test("no minute has more calls than twice the limit, and a caller that waits as told is served", () => {
  const arrivals = fc.array(fc.nat(20_000), { maxLength: 200 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), arrivals, (limit, pauses) => {
      let ms = 0;
      const rate = new RateLimit(limit, () => ms);
      const taken: number[] = [];
      for (const pause of pauses) {
        ms += pause;
        const wait = rate.take("claude");
        if (wait === 0) taken.push(ms);
        else {
          expect(wait).toBeLessThanOrEqual(60);
          ms += wait * 1000;
          expect(rate.take("claude")).toBe(0);
          taken.push(ms);
        }
        expect(taken.filter((at) => at > ms - 60_000).length).toBeLessThanOrEqual(2 * limit);
      }
    }),
  );
});

test("the counts keep ten thousand callers at most, the most recent ones", () => {
  const counts = new LeakyBuckets(1, () => 0);
  for (let index = 0; index < 10; index += 1) counts.add("first");
  for (let index = 0; index < 9_999; index += 1) counts.add(`other ${index}`);
  expect(counts.add("first")).toBe(11);
  for (let index = 0; index < 9_999; index += 1) counts.add(`more ${index}`);
  expect(counts.level("first")).toBe(11);
  expect(counts.level("other 9998")).toBe(0);
  counts.add("one more");
  expect(counts.level("first")).toBe(0);
});

test("a principal that stays over a limit is recorded once a minute", async () => {
  const store = await withJan({ passwords: 1 });
  const recorded = async () => {
    const { entries } = (await store.must("read-audit")) as { entries: Array<{ outcome: string }> };
    return entries.filter(({ outcome }) => outcome === "busy").length;
  };
  expect(await setPasswords(5, store)).toBe(1);
  expect(await recorded()).toBe(1);
  store.later(60);
  expect(await setPasswords(5, store)).toBe(1);
  expect(await recorded()).toBe(2);
});
