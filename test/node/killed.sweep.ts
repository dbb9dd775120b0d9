/** The shipped program, killed with -9 at any moment: no daemon gets a wrong answer, and the next run finishes. */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { expect, it } from "vitest";
import { thisMachine } from "../../src/machine/machine.ts";
import { hash, stateOf, user } from "./answers.ts";
import { argumentsOf, bundle, start } from "./bundled.ts";
import { ask, temporaryFolder } from "./folder.ts";
import { expectedOf, serves, startServer } from "./support.ts";

const withSqlite = (await thisMachine.find("sqlite3")) === undefined ? it.skip : it;

const crowd = (letter: string, from: number) =>
  Array.from({ length: 4000 }, (_, index) => user(`u${index + from}@example.nl`, { password: hash(letter) }));
const states = [
  stateOf(1, ["example.nl"], crowd("a", 0)),
  stateOf(2, ["example.nl", "new.nl"], [...crowd("b", 500), user("els@new.nl")]),
] as const;

/** One question to a file: its state. Each file changes in one transaction, so it has one. */
function stateIn(out: string, file: string, statement: string): string {
  const found = ask(join(out, file), statement);
  if (found === "fails") throw new Error(`${file} fails`);
  return found.join();
}

/** The question to each file, and its answer in either state. */
const questions = {
  "logins.db": {
    statement:
      "SELECT count(*), min(password), max(password) FROM dovecot_login WHERE domain || '' = 'example.nl'",
    answers: ["a", "b"].map((letter) => `4000|${hash(letter)}|${hash(letter)}`),
  },
  "addresses.db": {
    statement:
      "SELECT count(*), sum(local = 'u0'), sum(local = 'u4499') FROM postfix_sender WHERE domain || '' = 'example.nl'",
    answers: ["4000|1|0", "4000|0|1"],
  },
};

withSqlite("killed at any moment: each file has one state, and the next run finishes", async () => {
  const file = await bundle();
  const server = await startServer(states[0]);
  const folder = temporaryFolder();
  const out = join(folder, "out");
  const command = [process.execPath, file, "once", ...argumentsOf(server, folder)];
  const options = ["--max-loss-percent", "100"];
  let begun = performance.now();
  expect((await start([...command, ...options]).ended).code).toBe(0);
  let whole = performance.now() - begun;

  let killed = 0;
  for (let round = 1; killed < 10; round += 1) {
    const state = { ...states[round % 2 === 0 ? 0 : 1], revision: round + 1, cursor: `cursor-${round + 1}` };
    // Half of the rounds take deltas, the others snapshots.
    if (round % 4 > 1) server.remembers.length = 0;
    server.serves = state;
    begun = performance.now();
    const run = start([...command, ...options]);
    const timer = setTimeout(() => run.kill("SIGKILL"), (whole * randomInt(20, 110)) / 100);
    const { signal } = await run.ended;
    clearTimeout(timer);
    if (signal === "SIGKILL") killed += 1;
    // A machine that was busy before may be quiet now, and each run too short for its kill.
    else whole = performance.now() - begun;
    for (const [name, { statement, answers }] of Object.entries(questions))
      expect(answers).toContain(stateIn(out, name, statement));
    // A sqlite3 that outlived it holds the lock: the next run waits until it ends.
    for (;;) {
      const again = await start([...command, ...options]).ended;
      if (again.code === 0) break;
      expect(again).toMatchObject({
        code: 75,
        stderr: expect.stringContaining("another m25-mail-node is at work"),
      });
    }
    expect(serves(out)).toEqual(expectedOf(state));
  }
});
