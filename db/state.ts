import { randomBytes } from "node:crypto";
import {
  type Compilable,
  type CompiledQuery,
  type Kysely,
  type Selectable,
  sql,
  type Updateable,
} from "kysely";
import { StateDigest } from "../src/sync/digest.ts";
import {
  type AliasRecord,
  type DomainAliasRecord,
  type DomainRecord,
  keyOf,
  kindOf,
  type MailRecord,
  type RecordKind,
  type UserRecord,
} from "../src/sync/records.ts";
import type { View } from "../src/sync/view.ts";
import { atMost } from "./row-limit.ts";
import type { Schema } from "./schema.ts";
import { together } from "./together.ts";

/** Rows of a table to delete in one transaction. Other writers wait for it. */
const FORGET_ROWS = 1000;

/** Numbers of rows of each kind. Each change updates them; nothing counts rows. */
export interface Totals {
  domains: number;
  users: number;
  inactiveUsers: number;
}

/** One change of the served state: a record that is added (no `before`), replaced, or removed (no `after`). */
export interface ServedChange {
  before?: ServedRecord | undefined;
  after?: ServedRecord | undefined;
  at: string;
  /** That of both records, if it is known. */
  difference?: DigestDifference;
}

export type ServedRecord = DomainRecord | UserRecord | AliasRecord | DomainAliasRecord;

/** A change's addition to the digests of mailbox nodes and of MX-only nodes, which get addresses only. */
export interface DigestDifference {
  mail: StateDigest;
  mx: StateDigest;
}

export function noDifference(): DigestDifference {
  return { mail: new StateDigest(), mx: new StateDigest() };
}

/** The addition of a record's replacement to the digests. */
export function replacement(
  before: ServedRecord | undefined,
  after: ServedRecord | undefined,
): DigestDifference {
  const difference = noDifference();
  if (before !== undefined) {
    difference.mail.remove(before);
    difference.mx.remove(mxRecord(before));
  }
  if (after !== undefined) {
    difference.mail.add(after);
    difference.mx.add(mxRecord(after));
  }
  return difference;
}

export function addDifference(sum: DigestDifference, { mail, mx }: DigestDifference): void {
  sum.mail.addDigest(mail);
  sum.mx.addDigest(mx);
}

/** The addition of these records to the digests. */
export function differenceOf(records: readonly ServedRecord[]): DigestDifference {
  const difference = noDifference();
  for (const record of records) {
    difference.mail.add(record);
    difference.mx.add(mxRecord(record));
  }
  return difference;
}

/** The one row of the table. */
export type StateRow = Selectable<Schema["state"]>;

/**
 * Revision and digest of the state that nodes must reach. One instance belongs to one transaction, whose changes share one new
 * revision. They stay in memory until the transaction ends, so that the row is read and written once.
 */
export class StateTable {
  readonly #db: Kysely<Schema>;
  #read: Promise<StateRow> | undefined;
  #unsaved: Updateable<Schema["state"]> = {};
  #hasNextRevision = false;
  /** The time to record with the digest of this revision. */
  #unsavedAt: string | undefined;
  #last: Compilable[] = [];

  /** @param row the state as the transaction finds it, if the engine reads it anyway */
  constructor(db: Kysely<Schema>, row?: Promise<StateRow>) {
    this.#db = db;
    this.#read = row;
  }

  async revision(): Promise<number> {
    return (await this.#row()).revision;
  }

  /** The numbers of domains and mailboxes. */
  async totals(): Promise<Totals> {
    const row = await this.#row();
    return { domains: row.domain_count, users: row.user_count, inactiveUsers: row.inactive_user_count };
  }

  /** The id of this database's history. A node that reports another one has applied another state. */
  async history(): Promise<string> {
    return (await this.#row()).history;
  }

  /** Digests by view id, of the records that a node with that view must serve. They are sums of domains' digests. */
  async digestsOf(views: readonly View[]): Promise<Map<string, string>> {
    const whole = await this.#row();
    const names = [...new Set(views.flatMap(({ domains }) => domains ?? []))];
    const rows = await this.#db
      .selectFrom("domains")
      .select(["name", "digest", "mx_digest"])
      .where("name", "in", sql<string>`(SELECT value FROM json_each(${JSON.stringify(names)}))`)
      .execute();
    const parts = new Map(rows.map((row) => [row.name, row]));
    const digests = new Map<string, string>();
    for (const { id, role, domains } of views) {
      if (digests.has(id)) continue; // many nodes share few views
      const column = role === "mx" ? "mx_digest" : "digest";
      if (domains === null) {
        digests.set(id, whole[column]);
        continue;
      }
      const sum = StateDigest.fromHex(whole[`shared_${column}`]);
      for (const name of domains) {
        const part = parts.get(name);
        if (part !== undefined) sum.addDigest(StateDigest.fromHex(part[column]));
      }
      digests.set(id, sum.toString());
    }
    return digests;
  }

  /** Whether the state had this digest at a revision; true if that is forgotten. */
  async had(revision: number, digest: string): Promise<boolean> {
    const present = await this.#row();
    if (revision > present.revision) return false;
    const then =
      revision === present.revision
        ? present
        : await this.#db
            .selectFrom("revisions")
            .select("digest")
            .where("revision", "=", revision)
            .executeTakeFirst();
    return then === undefined || then.digest === digest;
  }

  /** Time of the first change after `revision`; undefined without one, or when it is forgotten. */
  async changedAfter(revision: number): Promise<string | undefined> {
    await this.save();
    const row = await this.#db
      .selectFrom("revisions")
      .select("at")
      .where("revision", ">", revision)
      .orderBy("revision")
      .limit(1)
      .executeTakeFirst();
    return row?.at;
  }

  /** The revision of this transaction's changes. The first call raises the database's revision. */
  async nextRevision(): Promise<number> {
    const row = await this.#row();
    if (!this.#hasNextRevision) this.#set(row, { revision: row.revision + 1 });
    this.#hasNextRevision = true;
    return row.revision;
  }

  /** Updates revision, digests and removals for a change of the served records. */
  async change({
    before,
    after,
    at,
    difference = replacement(before, after),
  }: ServedChange): Promise<DigestDifference> {
    const revision = await this.#addDigests(difference, at);
    if (after !== undefined && before === undefined) await this.#forgetRemoval(after);
    if (before !== undefined && after === undefined) {
      const removal = { ...removalKey(before), revision, removed_at: at };
      await this.#db
        .insertInto("removals")
        .values(removal)
        .onConflict((conflict) => conflict.columns(["kind", "name"]).doUpdateSet(removal))
        .execute();
    }
    return difference;
  }

  /** Does the same as change() for many records that are replaced. */
  async replaceAll(difference: DigestDifference, at: string): Promise<void> {
    await this.#addDigests(difference, at);
  }

  /** Does the same as change() for many records that are added: one new digest, whatever their number. */
  async addAll(records: readonly ServedRecord[], difference: DigestDifference, at: string): Promise<void> {
    await this.#addDigests(difference, at);
    const keys = JSON.stringify(records.map(removalKey));
    await sql`DELETE FROM removals WHERE (kind, name) IN
      (SELECT value ->> 'kind', value ->> 'name' FROM json_each(${keys}))`.execute(this.#db);
  }

  /**
   * Begins a new history. Earlier reports and cursors of nodes become void, and each node fetches the current state
   * whole. The former history's revisions stay until forgetBefore() deletes them in batches: no cursor of the new
   * history is below the current revision.
   */
  async startHistory(at: string): Promise<void> {
    const history = randomBytes(16).toString("hex");
    const row = await this.#row();
    this.#set(row, { history });
    // Acceptances belong to the former history.
    await this.#db.updateTable("nodes").set({ accepted_revision: null }).execute();
    await this.#db.deleteFrom("revisions").where("revision", "=", row.revision).execute();
    this.#unsavedAt = at;
  }

  /**
   * Deletes some of the revisions from before `time`, then some of the removals that no remembered revision needs: one
   * revision may have any number. A node that was away for longer gets a snapshot. It deletes by revision, not by each
   * row's time, so that a clock that jumped cannot leave a gap.
   *
   * @returns whether there is more to forget
   */
  async forgetBefore(time: string): Promise<boolean> {
    const { revision } = await this.#row();
    const oldest = await this.#db
      .selectFrom("revisions")
      .select(["revision", "at"])
      .orderBy("revision")
      .limit(FORGET_ROWS)
      .execute();
    // Delete from the oldest up to the first that is young enough, never the newest.
    const young = oldest.find((row) => row.at >= time || row.revision >= revision);
    const last = young === undefined ? oldest.at(-1)?.revision : young.revision - 1;
    if (last !== undefined) await this.#db.deleteFrom("revisions").where("revision", "<=", last).execute();
    const { numAffectedRows } = await sql`DELETE FROM removals WHERE (kind, name) IN
      (SELECT kind, name FROM removals WHERE revision < (SELECT min(revision) FROM revisions)
        LIMIT ${atMost(FORGET_ROWS)})`.execute(this.#db);
    return (oldest.length > 0 && young === undefined) || numAffectedRows === BigInt(FORGET_ROWS);
  }

  async #addDigests({ mail, mx }: DigestDifference, at: string): Promise<number> {
    const revision = await this.nextRevision();
    const row = await this.#row();
    this.#set(row, {
      digest: StateDigest.fromHex(row.digest).addDigest(mail).toString(),
      mx_digest: StateDigest.fromHex(row.mx_digest).addDigest(mx).toString(),
    });
    this.#unsavedAt = at;
    return revision;
  }

  /** Adds a statement whose result nobody needs to those that end the transaction. */
  runLast(statement: Compilable): void {
    this.#last.push(statement);
  }

  /** Writes the changes since the last save(). */
  async save(): Promise<void> {
    await together(...(await this.unsaved()).map((statement) => this.#db.executeQuery(statement)));
  }

  /** The statements that save() would run. A transaction ends with them. */
  async unsaved(): Promise<CompiledQuery[]> {
    const [statements, changes, at] = [this.#last, this.#unsaved, this.#unsavedAt];
    [this.#last, this.#unsaved, this.#unsavedAt] = [[], {}, undefined];
    if (Object.keys(changes).length > 0) {
      statements.push(this.#db.updateTable("state").set(changes));
      if (at !== undefined) statements.push(this.#revisionOf(await this.#row(), at));
    }
    return statements.map((statement) => statement.compile());
  }

  /** Records the digest at a revision: a cursor of this revision must have it. */
  #revisionOf({ revision, digest }: StateRow, at: string): Compilable {
    return this.#db
      .insertInto("revisions")
      .values({ revision, digest, at })
      .onConflict((conflict) => conflict.column("revision").doUpdateSet({ digest }));
  }

  /** Writes the present values again, to find out whether the disk can be written. */
  async rewrite(): Promise<void> {
    await this.#db.updateTable("state").set({ revision: sql`revision` }).execute();
  }

  async addTotals(difference: Totals): Promise<void> {
    const row = await this.#row();
    this.#set(row, {
      domain_count: row.domain_count + difference.domains,
      user_count: row.user_count + difference.users,
      inactive_user_count: row.inactive_user_count + difference.inactiveUsers,
    });
  }

  async addAliases(aliases: number, domainAliases: number): Promise<void> {
    const row = await this.#row();
    this.#set(row, {
      alias_count: row.alias_count + aliases,
      domain_alias_count: row.domain_alias_count + domainAliases,
    });
  }

  /** Adds to the digests of the records that belong to no domain. */
  async addShared(records: number, { mail, mx }: DigestDifference): Promise<void> {
    const row = await this.#row();
    this.#set(row, {
      shared_digest: StateDigest.fromHex(row.shared_digest).addDigest(mail).toString(),
      shared_mx_digest: StateDigest.fromHex(row.shared_mx_digest).addDigest(mx).toString(),
      shared_count: row.shared_count + records,
    });
  }

  async #forgetRemoval(record: ServedRecord): Promise<void> {
    const { kind, name } = removalKey(record);
    await this.#db.deleteFrom("removals").where("kind", "=", kind).where("name", "=", name).execute();
  }

  /** The row as this transaction has changed it. */
  #row(): Promise<StateRow> {
    this.#read ??= this.#db.selectFrom("state").selectAll().executeTakeFirstOrThrow();
    return this.#read;
  }

  /** @param row that of #row() */
  #set(row: StateRow, changes: Partial<StateRow>): void {
    Object.assign(row, changes);
    Object.assign(this.#unsaved, changes);
  }
}

function mxRecord(record: ServedRecord): MailRecord {
  if ("domain" in record) return { domain: record.domain };
  if ("user" in record) return { user: record.user };
  return "alias" in record ? { alias: record.alias, live: record.targets.length > 0 } : record;
}

/** A domain alias may come back for another domain: nodes of the former one must hear of its removal. */
function removalKey(record: ServedRecord): { kind: RecordKind; name: string } {
  const name = "of" in record ? `${record.domain_alias} ${record.of}` : keyOf(record);
  return { kind: kindOf(record), name };
}
