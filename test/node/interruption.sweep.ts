/** Kills sqlite3 at each statement of an update, and at moments inside its commit; no look-up gets a wrong answer. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { MailState } from "../support/answer-reader.ts";
import { hash, stateOf, user } from "./answers.ts";
import { served } from "./folder.ts";
import { Life } from "./life.ts";

const one = stateOf(
  1,
  ["example.nl", "old.nl"],
  [user("gone@example.nl"), user("jan@example.nl"), user("last@old.nl"), user("stays@example.nl")],
);
const two = stateOf(
  2,
  ["example.nl", "new.nl"],
  [user("jan@example.nl", { password: hash("b") }), user("els@new.nl"), user("stays@example.nl")],
);
const asMx = (state: MailState, revision: number): MailState =>
  stateOf(
    revision,
    [...state.domains.keys()],
    [...state.users.keys()].map((address) => ({ user: address })),
    { role: "mx" },
  );
const expected = (state: MailState, logins = [...state.users.keys()]) => ({
  addresses: [...state.users.keys()].sort(),
  logins: logins.sort(),
  domains: [...state.domains.keys()].sort(),
});

interface Scenario {
  from: MailState[];
  to: MailState;
  whole: boolean;
  /** The files that an mx leaves untouched. */
  logins?: string[];
}

const scenarios: Record<string, Scenario> = {
  "an update by what changed": { from: [one], to: two, whole: false },
  "an update by a whole state": { from: [one], to: two, whole: true },
  "a change of role": { from: [one], to: asMx(two, 2), whole: true, logins: [...one.users.keys()] },
  "a role that comes back": { from: [one, asMx(one, 2)], to: { ...two, revision: 3 }, whole: true },
};

/** Kills sqlite3 at the nth call from now on, some time after it got its statements. @returns whether it came to that */
function killAt(life: Life, nth: number, delay: number): () => boolean {
  const { db } = life.replica;
  const run = db.run.bind(db);
  let calls = 0;
  db.run = async (statements, rows) => {
    calls += 1;
    if (calls !== nth) return await run(statements, rows);
    const running = run(statements, rows);
    if (delay > 0) await sleep(delay);
    if (!db.over) process.kill(db.pid ?? 0, "SIGKILL");
    return await running;
  };
  return () => calls >= nth;
}

test.each(Object.keys(scenarios))("%s, killed at each statement", async (name) => {
  const { from, to, whole, logins } = scenarios[name] as Scenario;
  for (const delay of [0, 1, 3]) {
    for (let nth = 1, reached = true; reached; nth += 1) {
      const life = await Life.begin();
      for (const state of from) await life.take(state, { whole: true });
      const before = from.at(-1) as MailState;
      const wasReached = killAt(life, nth, delay);
      await life.take(to, { whole }).catch(() => undefined);
      reached = wasReached();
      const found = served(life.out);
      // Each file is at one state or the other; the logins are never behind.
      const old = expected(before, before.role === "mx" ? [...one.users.keys()] : undefined);
      const fresh = expected(to, logins);
      expect([old, fresh, { ...old, logins: fresh.logins }]).toContainEqual(found);
      await life.reopen();
      expect([old, fresh]).toContainEqual(served(life.out));
      life.state = undefined;
      await life.take(to);
      expect(served(life.out)).toEqual(fresh);
    }
  }
});
