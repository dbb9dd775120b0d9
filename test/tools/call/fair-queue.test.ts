import fc from "fast-check";
import { expect, test } from "vitest";
import { FairQueue } from "../../../tools/call/fair-queue.ts";

const BOUNDS = { perKey: 2, waiting: 64, what: "calls are under way" };

/** Requests a turn for each key, all at once. Returns the keys in the order of their turns. */
async function turnsOf(keys: readonly string[], turns = new FairQueue(BOUNDS)): Promise<string[]> {
  const begun: string[] = [];
  await Promise.all(
    keys.map((key) =>
      turns.run(key, async () => {
        begun.push(key);
      }),
    ),
  );
  return begun;
}

test("a single request does not wait for another's queue", async () => {
  const keys = [...Array<string>(60).fill("greedy"), "modest"];
  expect((await turnsOf(keys)).slice(0, 4)).toContain("modest");
});

test("waiting principals take turns, however long their queues are", async () => {
  const keys = ["a", "b", "c"].flatMap((key) => Array<string>(20).fill(key));
  const begun = await turnsOf(keys);
  for (let length = 6; length <= 60; length += 1) {
    const had = ["a", "b", "c"].map((key) => begun.slice(0, length).filter((other) => other === key).length);
    expect(Math.max(...had) - Math.min(...had), `of the first ${length}`).toBeLessThanOrEqual(2);
  }
});

const ONE_AT_A_TIME = { ...BOUNDS, perKey: 1, total: 1 };

/** Tasks that end when told, by key. `begun` has the order of their turns. */
function heldTasks(turns: FairQueue) {
  const begun: string[] = [];
  const ends: Array<() => void> = [];
  const ask = (key: string) =>
    turns.run(key, () => {
      begun.push(key);
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  const end = () => ends.shift()?.();
  return { begun, ask, end };
}

test("a newcomer comes right after another's running task, before the rest of that queue", async () => {
  const { begun, ask, end } = heldTasks(new FairQueue(ONE_AT_A_TIME));
  const asked = ["greedy", "greedy", "greedy"].map(ask);
  for (let round = 0; round < 3; round += 1) {
    await expect.poll(() => begun.length).toBe(2 * round + 1);
    asked.push(ask("modest"));
    end();
    await expect.poll(() => begun.length).toBe(2 * round + 2);
    end();
  }
  await Promise.all(asked);
  expect(begun).toEqual(["greedy", "modest", "greedy", "modest", "greedy", "modest"]);
});

test("a newcomer comes before the rest of a queue whose tasks end at once", async () => {
  const turns = new FairQueue(BOUNDS);
  const begun: string[] = [];
  const ask = (key: string) =>
    turns.run(key, async () => {
      begun.push(key);
      const until = performance.now() + 3; // longer than the share of a turn of the event loop
      while (performance.now() < until);
    });
  const asked = Array.from({ length: 9 }, () => ask("greedy"));
  await new Promise((resolve) => setImmediate(resolve));
  const place = begun.length;
  expect(place).toBeLessThan(9);
  await ask("modest");
  expect(begun.indexOf("modest")).toBe(place);
  await Promise.all(asked);
});

test("many principals that repeat single requests leave a queue its turns", async () => {
  const turns = new FairQueue(ONE_AT_A_TIME);
  const begun: string[] = [];
  const tasks = (key: string) =>
    turns.run(key, async () => {
      begun.push(key);
    });
  const modest = async (key: string) => {
    for (let count = 0; count < 20; count += 1) await tasks(key);
  };
  await Promise.all([
    ...Array.from({ length: 20 }, () => tasks("line")),
    ...["a", "b", "c", "d"].map(modest),
  ]);
  const places = begun.flatMap((key, place) => (key === "line" ? [place] : []));
  places.forEach((place, index) => void expect(place).toBeLessThanOrEqual(5 * (index + 1) + 5));
});

test("the event loop turns after each 2 ms of waiting calls", async () => {
  let turned = 0;
  let isCounting = true;
  const count = () => {
    turned += 1;
    if (isCounting) setImmediate(count);
  };
  setImmediate(count);
  const turns = new FairQueue(BOUNDS);
  const busy = async () => {
    const until = performance.now() + 3;
    while (performance.now() < until);
  };
  await Promise.all(Array.from({ length: 20 }, () => turns.run("greedy", busy)));
  isCounting = false;
  expect(turned).toBeGreaterThanOrEqual(17);
});

test("a failed task gives its place to the next, and a full queue refuses with the next step", async () => {
  const turns = new FairQueue(BOUNDS);
  const fails = (until?: Promise<void>) => async () => {
    await until;
    throw new Error("no");
  };
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  let started = 0;
  const first = Array.from({ length: BOUNDS.perKey }, () =>
    turns.run("a", () => {
      started += 1;
      return fails(released)();
    }),
  );
  await expect.poll(() => started).toBe(BOUNDS.perKey);
  const others = Array.from({ length: BOUNDS.waiting + 4 }, () => turns.run("a", fails()));
  release();
  const outcomes = await Promise.allSettled([...first, ...others]);
  const reasons = outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason : undefined));
  expect(reasons.filter(({ message }) => message === "no")).toHaveLength(BOUNDS.perKey + BOUNDS.waiting);
  expect(reasons.slice(-4)).toMatchObject(Array(4).fill({ code: "busy" }));
  expect(await turnsOf(["a"], turns)).toEqual(["a"]);
});

test("with any tasks of any length, the bounds hold and all get their turn", async () => {
  const task = fc.record({ key: fc.constantFrom("a", "b", "c"), pause: fc.nat(3), lasts: fc.nat(4) });
  const bounds = fc.record({ perKey: fc.integer({ min: 1, max: 3 }), total: fc.integer({ min: 1, max: 4 }) });
  const tick = () => new Promise((resolve) => setImmediate(resolve));
  await fc.assert(
    fc.asyncProperty(fc.array(task, { maxLength: 60 }), bounds, async (tasks, { perKey, total }) => {
      const turns = new FairQueue({ ...BOUNDS, perKey, total });
      const running: string[] = [];
      let done = 0;
      const all: Promise<void>[] = [];
      for (const { key, pause, lasts } of tasks) {
        for (let index = 0; index < pause; index += 1) await tick();
        const one = turns.run(key, async () => {
          running.push(key);
          expect(running.length).toBeLessThanOrEqual(total);
          expect(running.filter((other) => other === key).length).toBeLessThanOrEqual(perKey);
          for (let index = 0; index < lasts; index += 1) await tick();
          running.splice(running.indexOf(key), 1);
          done += 1;
        });
        all.push(one);
      }
      await Promise.all(all);
      expect(done).toBe(tasks.length);
    }),
  );
});

test("a task's work outside of its turn holds no place, and the task continues in a later turn", async () => {
  const turns = new FairQueue(ONE_AT_A_TIME);
  const steps: string[] = [];
  let finish = () => {};
  const long = turns.run("a", async (withoutSlot) => {
    await withoutSlot(() => new Promise<void>((resolve) => (finish = resolve)));
    steps.push("the rest of the long task");
  });
  const { ask, end, begun } = heldTasks(turns);
  const other = ask("a");
  await expect.poll(() => begun).toEqual(["a"]);
  finish();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(steps).toEqual([]); // the other task runs
  end();
  await Promise.all([long, other]);
  expect(steps).toEqual(["the rest of the long task"]);
});

test("a task whose work outside of its turn fails leaves its place to others", async () => {
  const turns = new FairQueue(ONE_AT_A_TIME);
  const failing = turns.run("a", (withoutSlot) => withoutSlot(() => Promise.reject(new Error("no hash"))));
  await expect(failing).rejects.toThrow("no hash");
  expect(await turnsOf(["a", "b"], turns)).toEqual(["a", "b"]);
});
