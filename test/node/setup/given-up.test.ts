import { expect, test } from "vitest";
import { isGivenUp, runQuietly, thisMachine } from "../../../src/machine/machine.ts";

test("a Ctrl-C counts that is seen just after the end of the command that it ended", async () => {
  const terminal = new AbortController();
  const { code } = await runQuietly(thisMachine, ["sh", "-c", "kill -INT $$"]);
  expect(code).toBeNull();
  setTimeout(() => terminal.abort(), 20);
  expect(await isGivenUp(thisMachine, terminal.signal)).toBe(true);
  expect(await isGivenUp(thisMachine, new AbortController().signal)).toBe(false);
});
