import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { thisMachine } from "../../../src/machine/machine.ts";
import { KnownRecipients } from "../../../src/node/sending/recipients.ts";
import { outFolder } from "../folder.ts";

const JAN = "jan@example.nl";
const DAY = 86_400_000;
const people = ["a@x.example", "b@x.example", "c@x.example"];

function machineAt(time: { now: number }) {
  const said: string[] = [];
  const clock = { now: () => time.now, monotonic: () => time.now, sleep: async () => undefined };
  return { said, machine: { ...thisMachine, clock, log: (line: string) => void said.push(line) } };
}

function known(folder: string, time = { now: Date.parse("2026-01-05T12:00:00Z") }) {
  const { said, machine } = machineAt(time);
  const recipients = new KnownRecipients({ machine, folder, sqlite: "sqlite3" });
  onTestFinished(() => recipients.close());
  return { recipients, said, time };
}

test("a recipient is new to each mailbox once, also after a restart", async () => {
  const folder = outFolder();
  const { recipients, said } = known(folder);
  expect(await recipients.countNew(JAN, people)).toBe(3);
  await recipients.note(JAN, people.slice(0, 2));
  expect(await recipients.countNew(JAN, people)).toBe(1);
  expect(await recipients.countNew("anna@example.nl", people)).toBe(3);
  expect(await recipients.countNew(JAN, [])).toBe(0);
  await recipients.close();
  expect(await known(folder).recipients.countNew(JAN, people)).toBe(1);
  expect(said).toEqual([]);
  expect(statSync(join(folder, "recipients.db")).mode & 0o777).toBe(0o600);
});

test("a recipient to whom a mailbox has not written for a year is new again, and a wrong clock loses none", async () => {
  const { recipients, time } = known(outFolder());
  const began = time.now;
  await recipients.note(JAN, people);
  time.now = began + 179 * DAY;
  await recipients.note(JAN, people.slice(0, 1));
  time.now = 0;
  await recipients.note(JAN, ["d@x.example"]);
  expect(await recipients.countNew(JAN, people)).toBe(0);
  time.now = began + 180 * DAY;
  expect(await recipients.countNew(JAN, people)).toBe(0);
  time.now = began + 360 * DAY;
  expect(await recipients.countNew(JAN, [...people, "d@x.example"])).toBe(3);
});

test("while the file cannot be used every recipient counts as known, and a damaged one is made anew", async () => {
  const folder = outFolder();
  writeFileSync(
    join(folder, "recipients.db"),
    "this is no database, and longer than a header of one".repeat(40),
  );
  const { recipients, said, time } = known(folder);
  expect(await recipients.countNew(JAN, people)).toBe(0);
  await recipients.note(JAN, people);
  expect(await recipients.countNew(JAN, people)).toBe(0);
  expect(said).toEqual([
    expect.stringMatching(/^warning: recipients count as known for now: recipients\.db: /),
  ]);
  time.now += 600_000;
  expect(await recipients.countNew(JAN, people)).toBe(3);
  expect(said).toHaveLength(1);
});
