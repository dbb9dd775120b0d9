import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FIRST, nextSchedule, type Schedule, type TimedPoll } from "../../src/node/schedule.ts";

const scheduleAfter = (timed: Partial<TimedPoll>, before: Partial<Schedule> = {}, random = 0.5): Schedule =>
  nextSchedule({ ...FIRST, ...before }, { took: 20, ...timed }, random);

/** The outcome of a question asked at `now`, in virtual time. */
type ServerModel = (asked: { now: number; wait: number }) => TimedPoll;

/** @returns the questions of a resident program within `until` milliseconds */
function life(
  way: ServerModel,
  until: number,
  random: () => number = () => 0.5,
): { now: number; wait: number }[] {
  const asked: { now: number; wait: number }[] = [];
  let schedule = FIRST;
  for (let now = 0; now < until; now += schedule.pause) {
    asked.push({ now, wait: schedule.wait });
    const timed = way({ now, wait: schedule.wait });
    now += timed.took;
    schedule = nextSchedule(schedule, timed, random());
  }
  return asked;
}

const HOUR = 3_600_000;

/** A proxy before a server that waits. It cuts off each wait after some seconds. */
const proxy =
  (seconds: number): ServerModel =>
  ({ wait }) =>
    wait > seconds ? { unreachable: true, took: seconds * 1000 } : { news: "unchanged", took: wait * 1000 };

describe("the time until the next question", () => {
  it("is zero while the server waits, a moment after news, and about a minute if the server does not wait", () => {
    expect(scheduleAfter({ news: "unchanged", took: 55_000 }, { wait: 55 })).toMatchObject({
      pause: 0,
      wait: 55,
    });
    expect(scheduleAfter({ news: "changed", took: 8000 }, { wait: 55 })).toMatchObject({
      pause: 50,
      wait: 55,
    });
    const atOnce = { news: "unchanged", took: 3 } as const;
    const pauses = [0, 0.5, 1].map(
      (random) => scheduleAfter(atOnce, { wait: 55, earlyEnds: 1 }, random).pause,
    );
    expect(pauses).toEqual([54_000, 60_000, 66_000]);
  });

  it("grows with each lasting failure, and stays below the five minutes after which a node is stale", () => {
    const pauses = [0, 1, 2, 3, 50].map((failures) => scheduleAfter({}, { failures }).pause);
    expect(pauses).toEqual([60_000, 120_000, 240_000, 240_000, 240_000]);
    expect(scheduleAfter({}, { failures: 1000 }, 1).pause).toBeLessThan(300_000);
  });

  it("is a little more than the server's Retry-After, and at most about an hour", () => {
    expect(scheduleAfter({ retryAfter: 7000 }, {}, 0).pause).toBe(7000);
    expect(scheduleAfter({ retryAfter: 7000 }, {}, 1).pause).toBe(9500);
    expect(scheduleAfter({ retryAfter: 600_000 }, {}, 1).pause).toBe(660_000);
    expect(scheduleAfter({ retryAfter: 1 }, {}, 0).pause).toBe(1000);
    expect(scheduleAfter({ retryAfter: 9e12 }, {}, 0).pause).toBe(HOUR);
  });
});

describe("a proxy that cuts waits off", () => {
  it("after 30 seconds: after two cut waits the node asks for shorter ones, which work, and for full ones again after an hour", () => {
    const asked = life(proxy(30), HOUR);
    expect(asked.slice(0, 6).map(({ wait }) => wait)).toEqual([0, 55, 0, 55, 0, 24]);
    expect(asked[5]?.now).toBeLessThan(70_000);
    expect(new Set(asked.slice(5).map(({ wait }) => wait))).toEqual(new Set([24]));
    const later = life(proxy(30), 1.5 * HOUR).slice(asked.length);
    expect(later.filter(({ wait }) => wait === 55)).toHaveLength(1);
    expect(later.at(-1)?.wait).toBe(24);
  });

  it("and is replaced by one that does not: waits are full again within an hour", () => {
    const asked = life((question) => proxy(question.now < 600_000 ? 30 : 3600)(question), 3 * HOUR);
    expect(asked.at(-1)?.wait).toBe(55);
  });

  it("after a few seconds: the node asks each minute, as with a server that does not wait", () => {
    const asked = life(proxy(3), HOUR).slice(5);
    expect(new Set(asked.map(({ wait }) => wait))).toEqual(new Set([0]));
    expect(asked.length).toBeGreaterThan(50);
    expect(asked.length).toBeLessThan(70);
  });

  it("silently, so that only the time limit ends a wait: waits become shorter until they work", () => {
    const silent: ServerModel = ({ wait }) =>
      wait > 20
        ? { unreachable: true, took: wait * 1000 + 30_000 }
        : { news: "unchanged", took: wait * 1000 };
    expect(life(silent, HOUR).at(-1)?.wait).toBe(13);
  });
});

describe("a server that has news all the time", () => {
  const busy = { news: "changed", took: 20_000 } as const;

  /** The schedules of a waiting node after these polls. */
  function scheduleThrough(...polls: TimedPoll[]): Schedule {
    let schedule = FIRST;
    for (const timed of polls) schedule = nextSchedule({ ...schedule, wait: schedule.longest }, timed, 0.5);
    return schedule;
  }

  it("and restarts now and then is asked again within seconds each time, however soon it ends the waits", () => {
    const letGo = { news: "unchanged", took: 300 } as const;
    expect(scheduleThrough(busy, letGo, busy, letGo)).toMatchObject({ pause: 2750, wait: 55, knownWait: 55 });
    expect(scheduleThrough(busy, letGo, letGo)).toMatchObject({ pause: 60_000, knownWait: 0 });
  });

  it("and is killed now and then is not taken for a proxy that cuts waits off", () => {
    const killed = { unreachable: true, took: 3000 } as const;
    expect(scheduleThrough(busy, killed, busy, killed)).toMatchObject({ longest: 55, knownWait: 55 });
    expect(scheduleThrough(busy, killed, killed)).toMatchObject({ longest: 0, knownWait: 0 });
  });

  it("breaks no row where it was not asked to wait", () => {
    const cut = { unreachable: true, took: 30_000 } as const;
    const asked = nextSchedule({ ...scheduleThrough(cut), wait: 0 }, { news: "changed", took: 20 }, 0.5);
    expect(nextSchedule(asked, cut, 0.5)).toMatchObject({ longest: 24, knownWait: 24 });
  });
});

describe("ten thousand nodes", () => {
  /** All nodes wait; the server stops at `away`, and is back at `back`. */
  function restart(away: number, back: number, ending: "lets go" | "is killed"): number[] {
    const arrivals: number[] = [];
    for (let node = 0; node < 10_000; node += 1) {
      const begun = (node / 10_000) * 50_000;
      let arrived: number | undefined;
      life(
        ({ now, wait }) => {
          const at = now + begun;
          if (at >= back) {
            arrived ??= at;
            return { news: "unchanged", took: wait * 1000 };
          }
          if (at >= away) return { unreachable: true, took: 1 };
          const end = at + wait * 1000;
          if (end < away) return { news: "unchanged", took: wait * 1000 };
          const took = away - at;
          return ending === "lets go" ? { news: "unchanged", took } : { unreachable: true, took };
        },
        300_000,
        Math.random,
      );
      arrivals.push((arrived ?? Number.POSITIVE_INFINITY) - back);
    }
    return arrivals.sort((a, b) => a - b);
  }

  it.each(["lets go", "is killed"] as const)(
    "is back, spread over the seconds after a restart, when the server %s",
    (ending) => {
      const arrivals = restart(120_000, 122_000, ending);
      expect(arrivals.at(-1)).toBeLessThan(20_000);
      expect(arrivals[9900]).toBeLessThan(8000);
      expect(arrivals[5000]).toBeLessThan(3500);
      for (let from = 0; from < 10_000; from += 100) {
        const together = arrivals.filter((at) => at >= from && at < from + 100).length;
        expect(together, `${from} ms`).toBeLessThan(500);
      }
    },
  );

  it("rarely asks a server that is away for long, and is back within minutes", () => {
    let schedule: Schedule = { ...FIRST, wait: 55 };
    const pauses: number[] = [];
    for (let failure = 0; failure < 20; failure += 1) {
      schedule = nextSchedule(schedule, { unreachable: true, took: 5 }, 1);
      pauses.push(schedule.pause);
    }
    expect(pauses.slice(0, 7)).toEqual([5000, 10_000, 20_000, 40_000, 80_000, 160_000, 240_000]);
    expect(Math.max(...pauses)).toBe(240_000);
  });
});

describe("in any case", () => {
  const timed = fc.record({
    news: fc.constantFrom("changed", "unchanged", undefined),
    unreachable: fc.boolean(),
    retryAfter: fc.option(fc.integer({ min: 1, max: 1e9 }), { nil: undefined }),
    took: fc.integer({ min: 0, max: 90_000 }),
  });

  it("a node asks again within five minutes unless the server says otherwise, and never in a tight loop", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(timed, fc.float({ min: 0, max: 1, maxExcluded: true, noNaN: true }))),
        (polls) => {
          let schedule = FIRST;
          for (const [how, random] of polls) {
            const { wait } = schedule;
            schedule = nextSchedule(schedule, how, random);
            expect(schedule.wait === 0 || schedule.wait >= 5).toBe(true);
            const asked = how.news === undefined ? how.retryAfter : undefined;
            if (asked === undefined) expect(schedule.pause).toBeLessThan(300_000);
            else expect(schedule.pause).toBeLessThanOrEqual(3_960_001);
            // At once only after a full wait, or if the next question is the first that may wait.
            if (schedule.pause === 0) expect(wait === 0 ? schedule.wait : how.took).toBeGreaterThan(0);
          }
        },
      ),
    );
  });
});
