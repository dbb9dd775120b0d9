import Database from "better-sqlite3";
import { onTestFinished } from "vitest";
import type { Store } from "../../db/store.ts";
import { encodeEnd, encodeHeader, type MailState } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import { AnswerReader } from "../../src/sync/reader.ts";
import { wholeView } from "../../src/sync/view.ts";

/** Opens a database without the program, to look at its tables. */
export function rawDatabase(file: string): Database.Database {
  const database = new Database(file);
  onTestFinished(() => void database.close());
  return database;
}

export interface Recount {
  digest: string;
  /** The digest for MX-only nodes, which covers addresses alone. */
  mxDigest: string;
  domains: number;
  users: number;
  inactiveUsers: number;
  /** The figures by domain, as the domains' own columns should have them. */
  each: Record<string, { users: number; inactiveUsers: number; digest: string; mxDigest: string }>;
}

interface UserRow {
  local_part: string;
  name: string;
  password_hash: string;
  quota_mb: number;
  mailbox: string;
  active: number;
}

/** Computes counts and digests from the rows. */
export function recount(database: Database.Database): Recount {
  const whole = new StateDigest();
  const wholeMx = new StateDigest();
  const each: Recount["each"] = {};
  const names = database
    .prepare<[], { name: string }>("SELECT name FROM domains WHERE erase_after IS NULL ORDER BY name")
    .all();
  const users = database.prepare<[string], UserRow>(
    "SELECT users.*, name FROM users JOIN domains ON domains.id = domain_id WHERE name = ?",
  );
  let active = 0;
  let inactive = 0;
  for (const { name } of names) {
    const digest = new StateDigest().add({ domain: name });
    const mxDigest = new StateDigest().add({ domain: name });
    const rows = users.all(name);
    const served = rows.filter((row) => row.active === 1);
    for (const row of served) {
      mxDigest.add({ user: `${row.local_part}@${name}` });
      digest.add({
        user: `${row.local_part}@${name}`,
        password: row.password_hash,
        quota_mb: row.quota_mb,
        mailbox: row.mailbox,
      });
    }
    each[name] = {
      users: served.length,
      inactiveUsers: rows.length - served.length,
      digest: digest.toString(),
      mxDigest: mxDigest.toString(),
    };
    active += served.length;
    inactive += rows.length - served.length;
    whole.addDigest(digest);
    wholeMx.addDigest(mxDigest);
  }
  const digests = { digest: whole.toString(), mxDigest: wholeMx.toString() };
  return { ...digests, domains: names.length, users: active, inactiveUsers: inactive, each };
}

/** Returns the same figures as the program has stored them. */
export function kept(database: Database.Database): Recount {
  const state = database
    .prepare<[], { digest: string; mxDigest: string; domains: number; users: number; inactiveUsers: number }>(
      "SELECT digest, mx_digest AS mxDigest, domain_count AS domains, user_count AS users, inactive_user_count AS inactiveUsers FROM state",
    )
    .get();
  if (state === undefined) throw new Error("no state");
  const rows = database
    .prepare<[], { name: string; users: number; inactiveUsers: number; digest: string; mxDigest: string }>(
      "SELECT name, user_count AS users, inactive_user_count AS inactiveUsers, digest, mx_digest AS mxDigest FROM domains WHERE erase_after IS NULL ORDER BY name",
    )
    .all();
  const each = Object.fromEntries(rows.map(({ name, ...figures }) => [name, figures]));
  return { ...state, each };
}

/** Sets the program's figures to those of the rows, after a test has changed the rows itself. */
export function keepRecount(database: Database.Database): void {
  const { each, ...state } = recount(database);
  const setDomain = database.prepare(
    `UPDATE domains SET user_count = :users, inactive_user_count = :inactiveUsers, digest = :digest, mx_digest = :mxDigest
     WHERE name = :name`,
  );
  for (const [name, figures] of Object.entries(each)) setDomain.run({ name, ...figures });
  database
    .prepare(
      `UPDATE state SET digest = :digest, mx_digest = :mxDigest, domain_count = :domains, user_count = :users,
         inactive_user_count = :inactiveUsers`,
    )
    .run(state);
}

/** Returns the state that the store would serve to a node, as the node reads it. */
export function servedState(store: Store): MailState {
  const reading = store.readState(wholeView);
  const reader = new AnswerReader();
  try {
    const { counts } = reading.summary;
    reader.push(encodeHeader({ ...reading.summary, kind: "snapshot", role: "mail", cursor: "cursor" }));
    for (const page of reading.pages()) {
      for (const line of page.split("\n").slice(0, -1)) reader.push(line);
    }
    reader.push(encodeEnd(counts.domains + counts.users));
    return reader.finish();
  } finally {
    reading.close();
  }
}
