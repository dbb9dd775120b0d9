import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Kysely } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { HiddenDomains } from "../domains/hidden-domains.ts";
import type { Schema } from "../schema.ts";
import { runInBatches, type Work } from "../transactions.ts";
import { createNew, isInUse, refuseItself, writeCopy } from "./backup.ts";
import { type Connection, isDatabaseFile, migrate, noDatabase, openConnection } from "./connection.ts";
import { isDamage, translated, unavailable } from "./errors.ts";
import { lockRestore } from "./restore-lock.ts";
import { StagedState } from "./staged-state.ts";
import { FileTransactions } from "./transactions.ts";

/** How much a database has. */
export interface Content {
  domains: number;
  /** Number of mailboxes, soft-deleted ones included. */
  mailboxes: number;
  softDeleted: number;
  /** Time of the last change of the served state, RFC 3339 UTC. The backup is from that time or later. Null for never. */
  changedAt: string | null;
}

/** The effect of a restore, to be approved. */
export interface RestorePlan {
  now: Content;
  restored: Content;
  /** The domains that only the database has. */
  goingDomains: string[];
  /** Number of mailboxes that only the database has, soft-deleted ones included. */
  goingMailboxes: number;
}

export interface RestoreResult extends Content {
  /** The file with the former content; null if there was none. */
  former: string | null;
}

export interface RestoreOptions {
  /** Called before anything is changed; if it throws, nothing is. */
  approve?: (plan: RestorePlan) => Promise<void>;
  /** Stops the restore. Before the change-over nothing is changed; after it, a server does the erasing. */
  stop?: AbortSignal;
  /** Called between batches; `copied` equals `all` while the replaced state is erased. */
  progress?: (copied: number, all: number) => void;
}

/** A file beside the database with what it had before a restore. */
const FORMER = ".before-";

/**
 * Restores a backup into the database, which may be in use: invisible batches first, then one short transaction that
 * begins a new history. The former content stays in a file beside the database. Nodes and tokens come from the backup only if the database has none; the audit log stays.
 * Resolves when the replaced state is erased.
 *
 * @throws MailError unavailable: no such file, damaged, of another program, of a newer version, stopped; busy: another
 * restore is under way; invalid_input when `file` is the database
 */
export async function restore(
  database: string,
  file: string,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  refuseFile(database, file);
  const path = realpathSync(database);
  const unlock = translated(() => lockRestore(path), database);
  // Migrations run on a copy: the backup stays as it is.
  const copy = `${path}.restore-${randomBytes(8).toString("hex")}`;
  try {
    removeCopies(path);
    await copyTo(copy, file);
    checkCopy(copy, file);
    const connection = translated(() => connect(database, copy), database);
    return await replaceState(connection, { path, file }, options);
  } finally {
    removeCopies(path);
    unlock();
  }
}

async function copyTo(copy: string, file: string): Promise<void> {
  try {
    createNew(copy);
    await copyFile(file, copy);
  } catch (error) {
    throw unavailable(error, file) ?? error;
  }
}

function refuseFile(database: string, file: string): void {
  if (!existsSync(database)) throw noDatabase(database);
  if (!existsSync(file)) {
    throw new MailError("unavailable", `There is no file ${file}.`, "Name one that m25-mail backup wrote.");
  }
  refuseItself(database, file);
  if (!translated(() => isDatabaseFile(file), file)) {
    throw new MailError(
      "unavailable",
      `${file} is not a backup of M25 Mail.`,
      "Nothing was changed. Name a file that m25-mail backup wrote.",
    );
  }
  if (isInUse(file)) {
    throw new MailError(
      "unavailable",
      `${file} is in use by another program.`,
      "Restore a file that m25-mail backup wrote.",
    );
  }
}

/** Removes copies of killed restores as well. */
function removeCopies(path: string): void {
  const folder = dirname(path);
  for (const name of readdirSync(folder)) {
    const isCopy = /^\.(restore-[0-9a-f]{16}(-wal|-shm)?|before-\w+\.[0-9a-f]{16}\.tmp)$/;
    if (name.startsWith(basename(path)) && isCopy.test(name.slice(basename(path).length)))
      rmSync(join(folder, name), { force: true });
  }
}

async function replaceState(
  connection: Connection,
  { path, file }: { path: string; file: string },
  { approve, stop, progress = () => {} }: RestoreOptions,
): Promise<RestoreResult> {
  const transactions = new FileTransactions(connection, "IMMEDIATE");
  const staged = new StagedState(connection);
  const restored = contentOf(connection, "backup");
  const former = await prepare(connection, path, approve).catch(async (error) => {
    await transactions.close();
    throw error;
  });
  const goesOn = () => {
    progress(staged.copied, restored.mailboxes);
    return stop?.aborted !== true;
  };
  const inBatches = (batch: (db: Kysely<Schema>) => Promise<boolean>) =>
    runInBatches(transactions, complete(batch), goesOn);
  const discard = () => transactions.run(complete(async () => staged.discard()));
  try {
    // First erase the leftovers of a killed restore, so that the file never has more than one extra state.
    await discard();
    await inBatches(erase);
    await inBatches(async () => staged.copySome());
    if (!goesOn()) throw stopped();
    await transactions.run(complete((db) => staged.changeOver(db, file)));
  } catch (error) {
    await discard().catch(() => {}); // a server erases it after an hour anyway
    await transactions.close();
    throw error;
  }
  try {
    await inBatches(erase);
  } catch (error) {
    if (!(error instanceof MailError)) throw error; // a full disk: the restore is done, and a server erases later
  } finally {
    await transactions.close();
  }
  return { ...restored, former };
}

/** Asks for approval, and copies what would be lost. @returns the copy; null if there is nothing to lose */
async function prepare(
  connection: Connection,
  path: string,
  approve: RestoreOptions["approve"],
): Promise<string | null> {
  const plan = planOf(connection);
  await approve?.(plan);
  if (plan.now.domains === 0) return null;
  const file = `${path}${FORMER}${new Date().toISOString().replaceAll(/\W/g, "")}`;
  await writeCopy(connection, file);
  return file;
}

const erase = (db: Kysely<Schema>) => new HiddenDomains(db).erase();

/** The database, with the copy of the backup attached as `backup`. */
function connect(database: string, copy: string): Connection {
  const connection = openConnection(database, { readonly: false });
  try {
    migrate(connection, database);
    connection.prepare("ATTACH ? AS backup").run(copy);
    connection.pragma("busy_timeout = 0"); // retryWhileBusy() waits instead and blocks nobody
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

function planOf(connection: Connection): RestorePlan {
  const only = (rows: (schema: string) => string) => `${rows("main")} EXCEPT ${rows("backup")}`;
  const domains = connection.prepare<[], string>(`${only(domainsOf)} ORDER BY name`);
  const mailboxes = connection.prepare<[], number>(`SELECT count(*) FROM (${only(mailboxesOf)})`);
  return {
    now: contentOf(connection, "main"),
    restored: contentOf(connection, "backup"),
    goingDomains: domains.pluck().all(),
    goingMailboxes: mailboxes.pluck().get() ?? 0,
  };
}

const domainsOf = (schema: string) => `SELECT name FROM ${schema}.domains WHERE erase_after IS NULL`;
const mailboxesOf = (schema: string) =>
  `SELECT name, local_part FROM ${schema}.users JOIN ${schema}.domains ON domains.id = domain_id WHERE erase_after IS NULL`;

function contentOf(connection: Connection, schema: "main" | "backup"): Content {
  const content = connection
    .prepare<[], Content>(
      `SELECT domain_count AS domains, user_count + inactive_user_count AS mailboxes,
         inactive_user_count AS softDeleted,
         (SELECT at FROM ${schema}.revisions WHERE revision > 0 ORDER BY revision DESC LIMIT 1) AS changedAt
       FROM ${schema}.state`,
    )
    .get();
  if (content === undefined) throw new Error("the state row is missing");
  return content;
}

function checkCopy(copy: string, file: string): void {
  const damaged = new MailError(
    "unavailable",
    `${file} is damaged.`,
    "Nothing was changed. Restore another backup.",
  );
  try {
    const connection = openConnection(copy, { readonly: false });
    try {
      migrate(connection, file);
      if (connection.pragma("integrity_check", { simple: true }) !== "ok") throw damaged;
    } finally {
      connection.close();
    }
  } catch (error) {
    throw isDamage(error) ? damaged : (unavailable(error, file) ?? error);
  }
}

function stopped(): MailError {
  return new MailError(
    "unavailable",
    "The restore was stopped.",
    "Nothing was changed. Start it again if you still want it.",
    { temporary: true },
  );
}

/** A transaction that leaves no statement for its end. */
function complete<T>(fn: (db: Kysely<Schema>) => Promise<T>): Work<T> {
  return async (db) => ({ result: await fn(db), last: [] });
}
