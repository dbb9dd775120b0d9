import { existsSync } from "node:fs";
import Database from "better-sqlite3";
import { onTestFinished, TestRunner } from "vitest";
import type { StateReader, Store } from "../../db/store.ts";
import type { SendingLimit } from "../../src/mail/sending-limit.ts";
import { encodeEnd, encodeHeader } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import { wholeView } from "../../src/sync/view.ts";
import { AnswerReader, type MailState } from "./answer-reader.ts";
import { onPostgresql } from "./engine.ts";

/** Opens SQLite's file without the program, to look at its tables. On PostgreSQL the test ends as skipped. */
export function rawDatabase(file: string): Database.Database {
  if (onPostgresql && !existsSync(file))
    TestRunner.getCurrentTest()?.context.skip("it looks into SQLite's file");
  const database = new Database(file);
  onTestFinished(() => void database.close());
  return database;
}

/** A domain's figures. */
interface Figures {
  users: number;
  inactiveUsers: number;
  aliases: number;
  domainAliases: number;
  digest: string;
  mxDigest: string;
}

export interface Recount {
  digest: string;
  /** The digest for MX-only nodes, which covers addresses alone. */
  mxDigest: string;
  domains: number;
  users: number;
  inactiveUsers: number;
  aliases: number;
  domainAliases: number;
  /** The figures of the records that belong to no domain. */
  shared: { count: number; digest: string; mxDigest: string };
  /** The figures by domain, as the domains' own columns should have them. */
  each: Record<string, Figures>;
}

interface AliasRow {
  local_part: string;
  live: string;
  send_as: number;
}

interface UserRow {
  local_part: string;
  name: string;
  password_hash: string;
  quota_mb: number;
  app_passwords: string | null;
  sending_limit: string | null;
  mailbox: string;
  active: number;
}

/** Computes counts and digests from the rows. */
export function recount(database: Database.Database): Recount {
  const whole = new StateDigest();
  const wholeMx = new StateDigest();
  const each: Recount["each"] = {};
  const names = database
    .prepare<[], { name: string; sending_limit: string | null }>(
      "SELECT name, sending_limit FROM domains WHERE erase_after IS NULL ORDER BY name",
    )
    .all();
  const users = database.prepare<[string], UserRow>(
    "SELECT users.*, name FROM users JOIN domains ON domains.id = domain_id WHERE name = ?",
  );
  const aliases = database.prepare<[string | null], AliasRow>(
    "SELECT aliases.* FROM aliases LEFT JOIN domains ON domains.id = domain_id WHERE name IS ?",
  );
  const domainAliases = database.prepare<[string], { name: string }>(
    `SELECT domain_aliases.name FROM domain_aliases JOIN domains ON domains.id = domain_id WHERE domains.name = ?
     AND erase_after IS NULL`,
  );
  const totals = { users: 0, inactiveUsers: 0, aliases: 0, domainAliases: 0 };
  for (const { name, ...limit } of names) {
    const digest = new StateDigest().add({ domain: name, ...limitIn(limit) });
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
        ...(row.app_passwords !== null && { app_passwords: hashesIn(row.app_passwords) }),
        ...limitIn(row),
      });
    }
    const own = aliases.all(name);
    for (const row of own) addAlias({ digest, mxDigest }, row, name);
    const further = domainAliases.all(name).map((row) => ({ domain_alias: row.name, of: name }));
    for (const record of further) {
      digest.add(record);
      mxDigest.add(record);
    }
    const counts = {
      users: served.length,
      inactiveUsers: rows.length - served.length,
      aliases: own.length,
      domainAliases: further.length,
    };
    each[name] = { ...counts, digest: digest.toString(), mxDigest: mxDigest.toString() };
    for (const key of Object.keys(totals) as Array<keyof typeof totals>) totals[key] += counts[key];
    whole.addDigest(digest);
    wholeMx.addDigest(mxDigest);
  }
  const shared = { digest: new StateDigest(), mxDigest: new StateDigest() };
  const ofAll = aliases.all(null);
  for (const row of ofAll) addAlias(shared, row, "");
  whole.addDigest(shared.digest);
  wholeMx.addDigest(shared.mxDigest);
  return {
    digest: whole.toString(),
    mxDigest: wholeMx.toString(),
    domains: names.length,
    ...totals,
    shared: { count: ofAll.length, digest: shared.digest.toString(), mxDigest: shared.mxDigest.toString() },
    each,
  };
}

function hashesIn(column: string): Record<string, string> {
  const all = JSON.parse(column) as Array<{ selector: string; hash: string }>;
  return Object.fromEntries(all.map(({ selector, hash }) => [selector, hash]));
}

function limitIn({ sending_limit }: { sending_limit: string | null }) {
  return sending_limit === null ? {} : { sending_limit: JSON.parse(sending_limit) as SendingLimit };
}

function addAlias(
  { digest, mxDigest }: { digest: StateDigest; mxDigest: StateDigest },
  row: AliasRow,
  domain: string,
): void {
  const alias = `${row.local_part}@${domain}`;
  const targets = JSON.parse(row.live) as string[];
  digest.add({ alias, targets, send_as: row.send_as === 1 });
  mxDigest.add({ alias, live: targets.length > 0 });
}

/** Returns the same figures as the program has stored them. */
export function kept(database: Database.Database): Recount {
  const figures = `user_count AS users, inactive_user_count AS inactiveUsers, alias_count AS aliases,
    domain_alias_count AS domainAliases, digest, mx_digest AS mxDigest`;
  const state = database
    .prepare<
      [],
      Omit<Recount, "each" | "shared"> &
        Record<"sharedDigest" | "sharedMxDigest", string> & { sharedCount: number }
    >(
      `SELECT ${figures}, domain_count AS domains, shared_count AS sharedCount, shared_digest AS sharedDigest,
         shared_mx_digest AS sharedMxDigest FROM state`,
    )
    .get();
  if (state === undefined) throw new Error("no state");
  const { sharedCount: count, sharedDigest: digest, sharedMxDigest: mxDigest, ...whole } = state;
  const rows = database
    .prepare<[], Figures & { name: string }>(
      `SELECT name, ${figures} FROM domains WHERE erase_after IS NULL ORDER BY name`,
    )
    .all();
  const each = Object.fromEntries(rows.map(({ name, ...figures }) => [name, figures]));
  return { ...whole, shared: { count, digest, mxDigest }, each };
}

/** Sets the program's figures to those of the rows, after a test has changed the rows itself. */
export function keepRecount(database: Database.Database): void {
  const { each, shared: _, ...state } = recount(database);
  const figures = `user_count = :users, inactive_user_count = :inactiveUsers, alias_count = :aliases,
    domain_alias_count = :domainAliases, digest = :digest, mx_digest = :mxDigest`;
  const setDomain = database.prepare(`UPDATE domains SET ${figures} WHERE name = :name`);
  for (const [name, ofDomain] of Object.entries(each)) setDomain.run({ name, ...ofDomain });
  database.prepare(`UPDATE state SET ${figures}, domain_count = :domains`).run(state);
}

/** Reads all lines, and closes the reader. */
export async function textOf(reading: StateReader): Promise<string> {
  let text = "";
  for await (const page of reading.pages()) text += page;
  await reading.close();
  return text;
}

/** Returns the state that the store would serve to a node, as the node reads it. */
export async function servedState(store: Store): Promise<MailState> {
  const reading = await store.readState(wholeView);
  const reader = new AnswerReader();
  try {
    const { counts } = reading.summary;
    reader.push(encodeHeader({ ...reading.summary, kind: "snapshot", role: "mail", cursor: "cursor" }));
    for await (const page of reading.pages()) {
      for (const line of page.split("\n").slice(0, -1)) reader.push(line);
    }
    reader.push(encodeEnd(counts.domains + counts.users + counts.aliases + counts.domain_aliases));
    return reader.finish();
  } finally {
    await reading.close();
  }
}
