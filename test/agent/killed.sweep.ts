import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { thisMachine } from "../../src/agent/this-machine.ts";
import { argumentsOf, bundle, start } from "./bundled.ts";
import {
  expectedOf,
  hash,
  mapContent,
  serves,
  startServer,
  stateOf,
  temporaryFolder,
  user,
  usersIn,
} from "./support.ts";

const one = stateOf(1, ["example.nl"], [user("jan@example.nl"), user("piet@example.nl")]);
const withPostmap = (await thisMachine.find("postmap")) === undefined ? it.skip : it;

describe("the program as it is shipped", () => {
  withPostmap(
    "killed with -9 at any moment: what is served stays safe, and the next run finishes it",
    async () => {
      const file = await bundle();
      const crowd = (letter: string, from: number) =>
        Array.from({ length: 4000 }, (_, index) =>
          user(`u${index + from}@example.nl`, { password: hash(letter) }),
        );
      const states = [
        stateOf(1, ["example.nl"], crowd("a", 0)),
        stateOf(2, ["example.nl", "new.nl"], [...crowd("b", 500), user("els@new.nl")]),
      ];
      const server = await startServer(states[0] ?? one);
      const folder = temporaryFolder();
      const out = join(folder, "out");
      const command = [process.execPath, file, "once", ...argumentsOf(server, folder)];
      const begun = performance.now();
      expect((await start(command).ended).code).toBe(0);
      const whole = performance.now() - begun;

      let killed = 0;
      for (let round = 1; round <= 10; round += 1) {
        const state = states[round % 2] ?? one;
        server.serves = { ...state, revision: round + 1 };
        const run = start(command);
        const timer = setTimeout(() => run.kill("SIGKILL"), whole * (0.25 + 0.75 * Math.random()));
        const { signal } = await run.ended;
        clearTimeout(timer);
        if (signal === "SIGKILL") killed += 1;

        const users = new Set(usersIn(out).map((record) => record.user));
        for (const address of mapContent(out, "mailboxes")?.keys() ?? []) {
          expect(users.has(address)).toBe(true);
        }
        // A postmap that outlived it holds the lock: until it is done the next run stays away.
        while (signal === "SIGKILL") {
          const again = await start(command).ended;
          if (again.code === 0) break;
          expect(again).toMatchObject({
            code: 75,
            stderr: expect.stringContaining("another m25-mail-node is at work"),
          });
        }
        expect(serves(out)).toEqual(expectedOf(state));
      }
      expect(killed).toBeGreaterThan(2);
    },
  );
});
