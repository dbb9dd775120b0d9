import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { ChangeWatch } from "../../db/sqlite/change-watch.ts";
import { openConnection } from "../../db/sqlite/connection.ts";
import { FilePollReader } from "../../db/sqlite/poll-reader.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { ChangeSignal } from "../../src/doors/sync/change-signal.ts";
import { expectRefusal } from "../support/outcome.ts";
import { temporaryFolder, testRuntime } from "../support/store.ts";

afterEach(() => void vi.useRealTimers());

/** Returns a new store with one waiter for its next change, which shows in the file `watched`. */
async function storeWithWaiter(watched = "m25-mail.db") {
  const folder = temporaryFolder();
  const store = openStore(join(folder, "m25-mail.db"), { create: true });
  const { version } = await store.polls.look();
  const reader = openConnection(join(folder, "m25-mail.db"), { readonly: true });
  onTestFinished(() => void reader.close());
  const polls = new FilePollReader(reader);
  polls.lookNow();
  let looks = 0;
  const looked = {
    latest: () => polls.latest(),
    lookNow() {
      looks += 1;
      return polls.lookNow();
    },
  };
  const watch = new ChangeWatch(looked, join(folder, watched));
  const changes = new ChangeSignal({ polls: store.polls, onChange: (listener) => watch.on(listener) });
  const wait = () => void changes.wait(version, 600_000, changes.permit(), () => {});
  wait();
  return { ...testRuntime(store), store, changes, wait, looks: () => looks };
}

test("all waiting nodes share one check of the database, and without them there is none", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { changes, wait, looks } = await storeWithWaiter();
  for (let node = 0; node < 1000; node += 1) wait();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(looks()).toBeLessThan(80);
  expect(changes.waiting).toBe(1001);
  await changes.wakeAll();
  const last = looks();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(looks()).toBe(last);
});

test("once the file system reports writes, an idle server checks once a minute, and still sees a commit at once", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { must, run, changes, looks } = await storeWithWaiter();
  /** Returns true if there is a check within half a second. */
  const looked = async () => {
    const before = looks();
    for (let passed = 0; passed < 500 && looks() === before; passed += 10) {
      await turn(); // lets the file system report the write
      await vi.advanceTimersByTimeAsync(10);
    }
    return looks() > before;
  };
  await vi.advanceTimersByTimeAsync(10_000);
  while (!(await looked())); // the pause of a second has just begun
  expectRefusal(await run("remove-domain", { domain: "example.nl" }), "domain_not_found"); // is recorded
  expect(await looked()).toBe(true);
  await vi.advanceTimersByTimeAsync(120_000);
  const before = looks();
  await vi.advanceTimersByTimeAsync(5 * 60_000);
  expect(looks() - before).toBeLessThanOrEqual(5);
  expect(changes.waiting).toBe(1);
  await must("add-domain", { domain: "example.nl" });
  expect(await looked()).toBe(true);
  expect(changes.waiting).toBe(0);
});

test("where the file system reports no writes, a commit is noticed within a second", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { must, changes } = await storeWithWaiter("a file that is not there");
  await vi.advanceTimersByTimeAsync(60_000);
  await must("add-domain", { domain: "example.nl" });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(changes.waiting).toBe(0);
});

test("a poll that looked before the last change does not wait for the next one", async () => {
  const { store, must, changes } = await storeWithWaiter();
  const { version } = await store.polls.look();
  await must("add-domain", { domain: "example.nl" });
  await expect.poll(() => changes.waiting).toBe(0); // the other poll has heard of it
  await store.polls.look();
  await changes.wait(version, 600_000, changes.permit(), () => {});
});
