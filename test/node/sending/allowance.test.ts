import fc from "fast-check";
import { expect, test } from "vitest";
import { Allowance } from "../../../src/node/sending/allowance.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const JAN = "jan@example.nl";

test("what was used comes back evenly", () => {
  const allowance = new Allowance(() => ({ hour: 60, day: 0, first_time: 0 }));
  expect(allowance.take(JAN, 60, 0)).toEqual({ may: true });
  expect(allowance.take(JAN, 1, 0)).toEqual({ may: false, limit: 60, period: "hour", wait: 1 });
  expect(allowance.take(JAN, 30, MINUTE)).toMatchObject({ may: false, wait: 29 });
  expect(allowance.take(JAN, 30, 30 * MINUTE)).toEqual({ may: true });
  expect(allowance.take("anna@example.nl", 60, 30 * MINUTE)).toEqual({ may: true });
});

test("the day has a limit of its own", () => {
  const allowance = new Allowance(() => ({ hour: 10, day: 24, first_time: 0 }));
  for (const hour of [0, 1]) expect(allowance.take(JAN, 10, hour * HOUR)).toEqual({ may: true });
  expect(allowance.take(JAN, 10, 2 * HOUR)).toMatchObject({ may: false, limit: 24, period: "day" });
});

test("0 is no limit", () => {
  expect(new Allowance(() => ({ hour: 0, day: 0, first_time: 0 })).take(JAN, 1e6, 0)).toEqual({ may: true });
});

test("a limit that changes holds for what was sent before, too", () => {
  let limits = { hour: 0, day: 100, first_time: 0 };
  const allowance = new Allowance(() => limits);
  expect(allowance.take(JAN, 50, 0)).toEqual({ may: true });
  limits = { hour: 0, day: 40, first_time: 0 };
  expect(allowance.take(JAN, 1, 0)).toMatchObject({ may: false, period: "day", limit: 40 });
  limits = { hour: 0, day: 0, first_time: 0 };
  expect(allowance.take(JAN, 10, 0)).toEqual({ may: true });
});

test("a message with more recipients than a period has can never be sent", () => {
  const allowance = new Allowance(() => ({ hour: 10, day: 100, first_time: 0 }));
  expect(allowance.take(JAN, 11, 0)).toEqual({ may: false, limit: 10, period: "hour", wait: "never" });
});

test("recipients who are new to a mailbox have a limit of their own, and known ones pass beyond it", () => {
  const allowance = new Allowance(() => ({ hour: 0, day: 0, first_time: 10 }));
  expect(allowance.take(JAN, 500, 0)).toEqual({ may: true });
  expect(allowance.take(JAN, 20, 0, 11)).toEqual({
    may: false,
    limit: 10,
    period: "first_time",
    wait: "never",
  });
  expect(allowance.take(JAN, 20, 0, 10)).toEqual({ may: true });
  expect(allowance.take(JAN, 1, 0, 1)).toMatchObject({ may: false, period: "first_time", wait: 144 });
  expect(allowance.take(JAN, 1, 0, 0)).toEqual({ may: true });
  expect(allowance.take(JAN, 1, 144 * MINUTE, 1)).toEqual({ may: true });
});

test("mailboxes with all of their allowance are forgotten", () => {
  const allowance = new Allowance(() => ({ hour: 10, day: 10, first_time: 0 }));
  allowance.take(JAN, 10, 0);
  allowance.forgetUnused(23 * HOUR);
  expect(allowance.size).toBe(1);
  allowance.forgetUnused(24 * HOUR);
  expect(allowance.size).toBe(0);
});

test("no series of messages gets more than its limit, and what it is told to wait is enough", () => {
  const message = fc.record({ recipients: fc.integer({ min: 1, max: 40 }), pause: fc.nat(2 * HOUR) });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
      const limit = 30;
      const allowance = new Allowance(() => ({ hour: limit, day: 0, first_time: 0 }));
      let now = 0;
      const sent: Array<{ at: number; recipients: number }> = [];
      for (const { recipients, pause } of messages) {
        now += pause;
        const verdict = allowance.take(JAN, recipients, now);
        if (!verdict.may && verdict.wait !== "never") {
          now += verdict.wait * MINUTE;
          expect(allowance.take(JAN, recipients, now)).toEqual({ may: true });
        } else if (!verdict.may) continue;
        sent.push({ at: now, recipients });
      }
      // From any moment on: the limit at once, and what has come back since.
      for (const [first, { at }] of sent.entries()) {
        let total = 0;
        for (const later of sent.slice(first)) {
          total += later.recipients;
          expect(total).toBeLessThanOrEqual(limit + ((later.at - at) * limit) / HOUR + 1e-6);
        }
      }
    }),
  );
});
