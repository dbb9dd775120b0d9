import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LimitBook } from "../../../src/node/sending/limits.ts";
import { stateOf, user } from "../answers.ts";
import { daemons } from "../folder.ts";
import { Life } from "../life.ts";

const JAN = "jan@example.nl";
const ANNA = "anna@example.nl";
const usual = { hour: 200, day: 1000, first_time: 0 };

test("a mailbox's own limit counts before its domain's, and that before the node's, a period at a time", async () => {
  const life = await Life.begin();
  const book = new LimitBook(usual);
  await book.take(life.replica);
  expect(book.of(JAN)).toEqual(usual);
  const users = [user(JAN, { sending_limit: { hour: 0 } }), user(ANNA), user("els@other.nl")];
  await life.take(
    stateOf(
      1,
      [{ domain: "example.nl", sending_limit: { hour: 50, day: 60, first_time: 0 } }, "other.nl"],
      users,
    ),
  );
  await book.take(life.replica);
  expect(book.of(JAN)).toEqual({ hour: 0, day: 60, first_time: 0 });
  expect(book.of(ANNA)).toEqual({ hour: 50, day: 60, first_time: 0 });
  expect(book.of("els@other.nl")).toEqual(usual);
});

test("a delta changes limits and ends no session, and a limit that is taken back is gone", async () => {
  const life = await Life.begin();
  const book = new LimitBook(usual);
  await life.take(stateOf(1, ["example.nl"], [user(JAN), user(ANNA)]));
  const limited = { domain: "example.nl", sending_limit: { day: 5 } };
  const changed = await life.take(
    stateOf(2, [limited], [user(JAN, { sending_limit: { day: 9 } }), user(ANNA)]),
  );
  expect(changed.addresses.changed).toBe(0);
  await book.take(life.replica);
  expect([book.of(JAN).day, book.of(ANNA).day]).toEqual([9, 5]);
  await life.take(stateOf(3, ["example.nl"], [user(JAN), user(ANNA)]));
  await book.take(life.replica);
  expect([book.of(JAN), book.of(ANNA)]).toEqual([usual, usual]);
});

test("a replica of the version before goes on being served, and takes limits", async () => {
  const life = await Life.begin();
  await life.take(stateOf(1, ["example.nl"], [user(JAN)]));
  await life.replica.db.close();
  const former = `DROP INDEX mailbox_sending; DROP INDEX domain_sending; ALTER TABLE mailbox DROP COLUMN sending; ALTER TABLE domain DROP COLUMN sending;
    PRAGMA user_version = 4;`;
  const version4 = { "logins.db": former, "addresses.db": "PRAGMA user_version = 4;" };
  for (const [file, statements] of Object.entries(version4))
    execFileSync("sqlite3", [
      "-init",
      "/dev/null",
      join(life.out, file),
      ".filectrl persist_wal 1",
      statements,
    ]);
  await life.open();
  expect(daemons.login(life.out, JAN)).toHaveLength(1);
  await life.take(stateOf(2, ["example.nl"], [user(JAN, { sending_limit: { hour: 7 } })]));
  const book = new LimitBook(usual);
  await book.take(life.replica);
  expect(book.of(JAN).hour).toBe(7);
});
