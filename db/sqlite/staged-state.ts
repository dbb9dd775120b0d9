import { randomBytes } from "node:crypto";
import { type Kysely, sql } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { AuditTable } from "../audit.ts";
import type { Schema } from "../schema.ts";
import { StateTable } from "../state.ts";
import type { Connection } from "./connection.ts";

/** Copied only into an empty table: a revoked token stays revoked, and a node keeps its current key. */
const ACCESS = ["nodes", "tokens", "oauth", "operator", "approved_domains"] as const;

const DKIM_COLUMNS =
  "node_id, domain, selector, public_key, reported_at, seen_at, ended_at, is_replaced, version, look_at";

/** ms of copying in one batch. Other writers wait that long. */
const BATCH = 50;
/** Rows per statement. */
const ROWS = 250;
/** When a server erases the leftovers of a killed restore, and ms after which a live restore postpones that. */
const KEPT = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 hour')";
const PUT_OFF_EVERY = 600_000;

/** The name of a staged domain, which is hidden until the change-over. It contains the id of the backup's domain. */
const NAME = "'restored '";
const IS_STAGED = "name >= 'restored ' AND name < 'restored!'";
const IS_KEPT = "erase_after > strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

/**
 * Copies a backup's state into hidden domains (domains/hidden-domains.ts), then replaces the current state in one short transaction.
 * Rows get new ids; a mailbox's home depends on its `mailbox` column only.
 */
export class StagedState {
  readonly #connection: Connection;
  readonly #copyDomains;
  readonly #copyUsers;
  readonly #copyAliases;
  #putOffAt = performance.now();
  /** Mailboxes copied so far. */
  copied = 0;

  /** @param connection has the backup, of this program's version, attached as `backup` */
  constructor(connection: Connection) {
    this.#connection = connection;
    this.#copyDomains = copier(
      connection,
      "domains",
      `INSERT INTO main.domains
         (name, user_count, inactive_user_count, alias_count, domain_alias_count, digest, mx_digest, revision,
          created_at, erase_after, sending_limit)
       SELECT ${NAME} || id, user_count, inactive_user_count, alias_count, domain_alias_count, digest, mx_digest,
         revision, created_at, ${KEPT}, sending_limit
       FROM backup.domains WHERE erase_after IS NULL AND id > @last AND id <= @upTo ORDER BY id`,
    );
    // Revision 0: no delta reads these rows. Deltas of the new history begin at a higher revision.
    this.#copyUsers = copier(
      connection,
      "users",
      `INSERT INTO main.users
         (domain_id, local_part, mailbox, password_hash, held_hash, quota_mb, app_passwords, active, revision, created_at,
          updated_at, sending_limit)
       SELECT staged.id, user.local_part, user.mailbox, user.password_hash, user.held_hash, user.quota_mb,
         user.app_passwords, user.active, 0, user.created_at, user.updated_at, user.sending_limit
       FROM backup.users AS user CROSS JOIN main.domains AS staged
       WHERE staged.name = ${NAME} || user.domain_id AND user.id > @last AND user.id <= @upTo ORDER BY user.id`,
    );
    const original = `backup.aliases AS alias CROSS JOIN main.domains AS staged`;
    const inWindow = `staged.name = ${NAME} || alias.domain_id AND alias.id > @last AND alias.id <= @upTo`;
    const copied = `${original} CROSS JOIN main.aliases AS copy`;
    const isCopied = `${inWindow} AND copy.domain_id = staged.id AND copy.local_part = alias.local_part`;
    this.#copyAliases = copier(
      connection,
      "aliases",
      `INSERT INTO main.aliases (domain_id, local_part, send_as, live, revision, created_at, updated_at)
       SELECT staged.id, alias.local_part, alias.send_as, alias.live, 0, alias.created_at, alias.updated_at
       FROM ${original} WHERE ${inWindow} ORDER BY alias.id`,
      `INSERT INTO main.alias_targets SELECT copy.id, target.domain, target.local_part, target.standing
       FROM ${copied} CROSS JOIN backup.alias_targets AS target WHERE ${isCopied} AND target.alias_id = alias.id`,
      `INSERT INTO main.alias_reach SELECT copy.id, reach.domain, reach.local_part
       FROM ${copied} CROSS JOIN backup.alias_reach AS reach WHERE ${isCopied} AND reach.alias_id = alias.id`,
    );
  }

  /**
   * Copies the next rows. Call it in a write transaction.
   *
   * @returns false when all rows are copied
   */
  copySome(): boolean {
    const began = performance.now();
    if (began - this.#putOffAt > PUT_OFF_EVERY) this.#putOff(began);
    do {
      if (this.#copyDomains() !== undefined) continue;
      const users = this.#copyUsers();
      if (users === undefined && this.#copyAliases() === undefined) return false;
      this.copied += users ?? 0;
    } while (performance.now() - began < BATCH);
    return true;
  }

  /** True while no server has begun to erase the rows: this process may have been suspended for an hour. */
  #putOff(now: number): void {
    this.#connection.exec(`UPDATE main.domains SET erase_after = ${KEPT} WHERE ${IS_STAGED} AND ${IS_KEPT}`);
    this.#putOffAt = now;
  }

  /** Marks the staged domains of this restore, or of a killed one, for erasing now. */
  discard(): void {
    this.#connection.exec(
      `UPDATE main.domains SET name = 'hidden ' || id, erase_after = '' WHERE ${IS_STAGED}`,
    );
  }

  /**
   * Hides the current domains and shows the staged ones. It writes one row for each domain and none for a mailbox. Earlier
   * revisions and removals stay until they are forgotten: no delta of the new history reads them.
   *
   * @throws MailError unavailable
   */
  async changeOver(db: Kysely<Schema>, file: string): Promise<void> {
    this.#checkWhole();
    const at = new Date().toISOString();
    this.#connection.exec(`
      UPDATE main.domains SET name = 'hidden ' || id, erase_after = '' WHERE erase_after IS NULL;
      UPDATE main.domains SET erase_after = NULL,
        name = (SELECT original.name FROM backup.domains AS original
          WHERE original.id = CAST(substr(domains.name, length(${NAME}) + 1) AS INTEGER))
      WHERE ${IS_STAGED}`);
    this.#connection
      .prepare(
        `UPDATE main.state SET history = ?, revision = max(state.revision, backup.revision) + 1, digest = backup.digest,
           mx_digest = backup.mx_digest, domain_count = backup.domain_count, user_count = backup.user_count,
           inactive_user_count = backup.inactive_user_count, alias_count = backup.alias_count,
           domain_alias_count = backup.domain_alias_count, shared_digest = backup.shared_digest,
           shared_mx_digest = backup.shared_mx_digest, shared_count = backup.shared_count
         FROM backup.state AS backup`,
      )
      .run(randomBytes(16).toString("hex"));
    await sql`INSERT INTO revisions (revision, digest, at) SELECT revision, digest, ${at} FROM state`.execute(
      db,
    );
    this.#replaceShared();
    this.#restoreAccess();
    // An acceptance was for the old history.
    await db
      .updateTable("nodes")
      .set({ accepted_revision: null })
      .where("accepted_revision", "is not", null)
      .execute();
    const state = new StateTable(db);
    const audit = new AuditTable(db, state);
    await audit.append({ at, principal: "operator", door: "cli", tool: "restore", arguments: { file } });
    await state.save();
  }

  #checkWhole(): void {
    const count = (domains: string) =>
      this.#connection.prepare<[], number>(`SELECT count(*) FROM ${domains}`).pluck().get();
    if (
      count(`main.domains WHERE ${IS_STAGED} AND ${IS_KEPT}`) ===
      count("backup.domains WHERE erase_after IS NULL")
    ) {
      return;
    }
    throw new MailError(
      "unavailable",
      "The restore stopped for an hour, so the server erases the rows that it had copied.",
      "Nothing was changed. Start it again.",
      { temporary: true },
    );
  }

  /** Replaces domain aliases, and the alias that belongs to no domain. */
  #replaceShared(): void {
    const rows = (table: string, columns: string) =>
      `INSERT INTO main.${table} SELECT (SELECT id FROM main.aliases WHERE domain_id IS NULL), ${columns}
       FROM backup.${table} WHERE alias_id IN (SELECT id FROM backup.aliases WHERE domain_id IS NULL);`;
    this.#connection.exec(`
      DELETE FROM main.domain_aliases;
      INSERT INTO main.domain_aliases SELECT one.name, present.id, 0 FROM backup.domain_aliases AS one
        JOIN backup.domains AS original ON original.id = one.domain_id
        JOIN main.domains AS present ON present.name = original.name;
      DELETE FROM main.aliases WHERE domain_id IS NULL;
      INSERT INTO main.aliases (domain_id, local_part, send_as, live, revision, created_at, updated_at)
        SELECT NULL, local_part, send_as, live, 0, created_at, updated_at FROM backup.aliases WHERE domain_id IS NULL;
      ${rows("alias_targets", "domain, local_part, standing")}
      ${rows("alias_reach", "domain, local_part")}`);
  }

  #restoreAccess(): void {
    for (const table of ACCESS) {
      const isEmpty = this.#connection.prepare(`SELECT count(*) FROM main.${table}`).pluck().get() === 0;
      if (!isEmpty) continue;
      this.#connection.exec(`INSERT INTO main.${table} SELECT * FROM backup.${table}`);
      // Other nodes report their keys again, because the history is new.
      if (table === "nodes")
        this.#connection.exec(
          `INSERT INTO main.dkim_keys (${DKIM_COLUMNS}) SELECT ${DKIM_COLUMNS} FROM backup.dkim_keys`,
        );
    }
  }
}

/** @returns copies the next rows by id, with what belongs to them, and returns their number; undefined after the last */
function copier(
  connection: Connection,
  table: string,
  ...insertions: readonly string[]
): () => number | undefined {
  const window = connection
    .prepare<[number], number | null>(
      `SELECT max(id) FROM (SELECT id FROM backup.${table} WHERE id > ? ORDER BY id LIMIT ${ROWS})`,
    )
    .pluck();
  const inserts = insertions.map((text) => connection.prepare<{ last: number; upTo: number }>(text));
  let last = 0;
  return () => {
    const upTo = window.get(last);
    if (upTo === undefined || upTo === null) return undefined;
    const [first = { changes: 0 }] = inserts.map((insert) => insert.run({ last, upTo }));
    last = upTo;
    return first.changes;
  };
}
