import { type Kysely, type Selectable, sql } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { type CheckName, checkNames } from "../../src/mail/node-checks.ts";
import { byReader, next, node as nodeCommand, operator, text } from "../../src/mail/text.ts";
import type { Counts } from "../../src/sync/answer.ts";
import type { NodeRole } from "../../src/sync/records.ts";
import type { Report } from "../../src/sync/report.ts";
import { type View, viewOf } from "../../src/sync/view.ts";
import type { Schema } from "../schema.ts";
import type { DkimKeyTable } from "./dkim-keys.ts";
import type { EndedKeyTable } from "./ended-keys.ts";

/** `addresses`: mailboxes, aliases and domain aliases; a domain stays only because of them. */
export interface Withheld extends Counts {
  addresses: number;
}

/** A node: its settings and its last report. */
export interface MailNode {
  id: number;
  name: string;
  ipAddress: string | null;
  view: View;
  createdAt: string;
  /** The last report; null before the first. */
  report: {
    revision: number;
    history: string;
    /** null when the report is about another role or other domains than the node has now. */
    digest: string | null;
    status: Report["status"];
    reason: Report["reason"];
    count: number | null;
    /** The removals that it withholds; null if its program is too old to say, or it could not read its replica. */
    withheld: Withheld | null;
    version: string;
    /** Postfix's myhostname, as the node reported it; null if it reported none. */
    host: string | null;
    /** Its Dovecot, such as "2.3"; null if it has not told. */
    dovecot: string | null;
    /** Its own checks that are not ok; null if it has not told. */
    failedChecks: CheckName[] | null;
    /** How many mailboxes reached a sending limit within a day; null if it has not told. */
    limitedUsers: number | null;
    at: string;
  } | null;
}

/** A node's last contact. The address is null if an older program recorded it. */
export interface Contact {
  at: string;
  address: string | null;
}

/** Times of the last call, the last refusal for its address, and the last use of an ended key; null for never. */
export type SeenNode = MailNode & {
  lastSync: Contact | null;
  refused: Contact | null;
  endedKeyUse: Contact | null;
};

/** The id and hash of a key to store. */
interface HashedKey {
  id: string;
  hash: string;
}

/** Nodes, the hashes of their sync keys, and their last reports. */
export class NodeTable {
  readonly #db: Kysely<Schema>;
  readonly #endedKeys: EndedKeyTable;
  readonly #dkimKeys: DkimKeyTable;

  constructor(db: Kysely<Schema>, endedKeys: EndedKeyTable, dkimKeys: DkimKeyTable) {
    this.#db = db;
    this.#endedKeys = endedKeys;
    this.#dkimKeys = dkimKeys;
  }

  async all(): Promise<SeenNode[]> {
    return this.page(Number.MAX_SAFE_INTEGER);
  }

  async count(): Promise<number> {
    const { count } = await this.#db
      .selectFrom("nodes")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** At most `limit` nodes by name, starting after `after`. */
  async page(limit: number, after = ""): Promise<SeenNode[]> {
    const rows = await this.#db
      .selectFrom("nodes")
      .leftJoin("contacts", "contacts.node_id", "nodes.id")
      .leftJoin("refused_contacts", "refused_contacts.node_id", "nodes.id")
      .leftJoin(
        ({ selectFrom }) =>
          selectFrom("ended_keys")
            .select(["node_id", "presented_at as at", "presented_from as address"])
            .select(
              sql<number>`row_number() OVER (PARTITION BY node_id ORDER BY presented_at DESC)`.as("place"),
            )
            .where("presented_at", "is not", null)
            .as("ended"),
        (join) => join.onRef("ended.node_id", "=", "nodes.id").on("ended.place", "=", 1),
      )
      .selectAll("nodes")
      .select(["contacts.at as last_sync_at", "contacts.address as last_address"])
      .select(["refused_contacts.at as refused_at", "refused_contacts.address as refused_address"])
      .select(["ended.at as ended_key_at", "ended.address as ended_key_address"])
      .where("name", ">", after)
      .orderBy("name")
      .limit(limit)
      .execute();
    return rows.map((row) => ({
      ...toNode(row),
      lastSync: toContact(row.last_sync_at, row.last_address),
      refused: toContact(row.refused_at, row.refused_address),
      endedKeyUse: toContact(row.ended_key_at, row.ended_key_address),
    }));
  }

  /** The number of nodes that serve this domain. A node that has never polled serves nothing. */
  async serving(domain: string): Promise<number> {
    const { count } = await this.#db
      .selectFrom("nodes")
      .innerJoin("contacts", "contacts.node_id", "nodes.id")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .where(sql<boolean>`nodes.domains IS NULL OR ${domain} IN (SELECT value FROM json_each(nodes.domains))`)
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Time of the last call of any node; null if none has called. */
  async lastContact(): Promise<string | null> {
    const { at } = await this.#db
      .selectFrom("contacts")
      .select(({ fn }) => fn.max<string | null>("at").as("at"))
      .executeTakeFirstOrThrow();
    return at;
  }

  /**
   * The numbers of nodes that may have this domain, and of those that have ever called; undefined if one of them called between
   * these times.
   */
  async silentFor(
    domain: string,
    from: string,
    to: string,
  ): Promise<{ added: number; joined: number } | undefined> {
    const mayHave = sql`(nodes.domains IS NULL OR ${domain} IN (SELECT value FROM json_each(nodes.domains)))`;
    // The counts read all nodes, so they run only where none has called.
    const { rows } = await sql<{ added: number; joined: number }>`WITH calls AS MATERIALIZED (SELECT EXISTS (
        SELECT 1 FROM contacts JOIN nodes ON nodes.id = contacts.node_id
        WHERE contacts.at BETWEEN ${from} AND ${to} AND ${mayHave}) AS found)
      SELECT (SELECT count(*) FROM nodes WHERE ${mayHave}) AS added,
        (SELECT count(*) FROM contacts JOIN nodes ON nodes.id = contacts.node_id WHERE ${mayHave}) AS joined
      FROM calls WHERE NOT found`.execute(this.#db);
    return rows[0];
  }

  /** Whether a node that may have this domain withholds removals, by its last report. */
  async withholdsFor(domain: string): Promise<boolean> {
    const { rows } = await sql<{ found: number | boolean }>`SELECT EXISTS (
      SELECT 1 FROM contacts JOIN nodes ON nodes.id = contacts.node_id
      WHERE withheld_users + withheld_aliases + withheld_domain_aliases > 0
        AND (nodes.domains IS NULL OR ${domain} IN (SELECT value FROM json_each(nodes.domains)))
    ) AS found`.execute(this.#db);
    return Boolean(rows[0]?.found);
  }

  /** True if at least one mailbox node has reported, and the last report of each that has called names Dovecot 2.3. */
  async allHaveDovecot23(): Promise<boolean> {
    const { rows } = await sql<{
      reported: number;
      others: number;
    }>`SELECT count(reported_at) AS reported,
        count(*) FILTER (WHERE dovecot_version IS DISTINCT FROM '2.3') AS others
      FROM nodes LEFT JOIN contacts ON contacts.node_id = nodes.id
      WHERE role = 'mail' AND (reported_at IS NOT NULL OR contacts.at IS NOT NULL)`.execute(this.#db);
    return rows[0] !== undefined && rows[0].reported > 0 && rows[0].others === 0;
  }

  /** @throws MailError node_exists */
  async add(
    node: { name: string; ipAddress: string | null; keyId: string; keyHash: string },
    at: string,
  ): Promise<void> {
    const row = await this.#db
      .insertInto("nodes")
      .values({
        name: node.name,
        ip_address: node.ipAddress,
        role: "mail",
        key_id: node.keyId,
        key_hash: node.keyHash,
        created_at: at,
      })
      .onConflict((conflict) => conflict.column("name").doNothing())
      .returning("id")
      .executeTakeFirst();
    if (row !== undefined) return;
    throw new MailError(
      "node_exists",
      `A node named ${node.name} is registered already.`,
      text`Nothing was changed. If it is the same machine and its key is lost, ${byReader({ toOperator: "give it another", toOthers: "the operator gives it another" })}: ${operator(`node rotate-key ${node.name}`)}. For another machine choose another name.`,
    );
  }

  /**
   * Removes a node and ends its keys, those of DKIM too.
   *
   * @returns the removed node
   * @throws MailError node_not_found
   */
  async remove(name: string, at: string): Promise<MailNode> {
    const row = found(name, await this.#named(name));
    await this.#endedKeys.addUsed(row, at);
    await this.#endedKeys.addNext(row, at);
    await this.#dkimKeys.endAll(row.id, at);
    await this.#db.deleteFrom("nodes").where("id", "=", row.id).execute();
    return toNode(row);
  }

  /**
   * Changes a node's role, domains and allowed address; undefined keeps a value. Changing the address forgets a refusal
   * for it.
   *
   * @throws MailError node_not_found; invalid_input for the role mx of a node that has a Dovecot
   */
  async set(
    name: string,
    change: {
      role?: NodeRole | undefined;
      domains?: string[] | null | undefined;
      ipAddress?: string | null | undefined;
    },
  ): Promise<MailNode> {
    const row = found(name, await this.#named(name));
    if (change.role === "mx" && row.role === "mail" && row.dovecot_version !== null) throw keepsLogins(name);
    if (change.ipAddress !== undefined) {
      // Earlier refusals were by the old rule; the next attempt shows whether the new one admits the node.
      await this.#db.deleteFrom("refused_contacts").where("node_id", "=", row.id).execute();
    }
    const { role = row.role, domains, ipAddress = row.ip_address } = change;
    const updated = await this.#db
      .updateTable("nodes")
      .set({
        role,
        ip_address: ipAddress,
        domains: domains === undefined ? row.domains : domains && JSON.stringify(domains),
      })
      .where("id", "=", row.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    return toNode(updated);
  }

  /**
   * Gives a node a second key, and replaces an unused second key. The first key ends when the second is used, at
   * `expiresAt`, or at an earlier end that was set before: a thief must not be able to postpone it.
   *
   * @returns the latest end of the first key
   * @throws MailError node_not_found
   */
  async addOperatorsKey(name: string, key: HashedKey, expiresAt: string, at: string): Promise<string> {
    const row = found(name, await this.#named(name));
    await this.#endedKeys.addNext(row, at);
    return this.#setNextKey(row.id, key, expiresAt, true);
  }

  /**
   * Gives a second key, as addOperatorsKey() does, to a node that presents its first key.
   *
   * @throws MailError unauthorized: the key has ended; forbidden: an operator's key waits for its first use
   */
  async exchangeKey(
    node: { id: number; keyHash: string },
    key: HashedKey,
    expiresAt: string,
    at: string,
  ): Promise<string> {
    const row = await this.#db
      .selectFrom("nodes")
      .selectAll()
      .where("id", "=", node.id)
      .where("key_hash", "=", node.keyHash)
      .executeTakeFirst();
    if (row === undefined)
      throw new MailError("unauthorized", "This sync key has ended.", "Use the new one.");
    if (row.next_key_by_operator !== 0) {
      throw new MailError(
        "forbidden",
        "An operator has made a new key for this node, so this key cannot get another.",
        text`On the node, remove the key file and give the new key to ${nodeCommand("join")}. Its first use ends this key.`,
      );
    }
    await this.#endedKeys.addNext(row, at);
    return this.#setNextKey(row.id, key, expiresAt, false);
  }

  async #setNextKey(id: number, key: HashedKey, expiresAt: string, byOperator: boolean): Promise<string> {
    const { end } = await this.#db
      .updateTable("nodes")
      .set({
        next_key_id: key.id,
        next_key_hash: key.hash,
        next_key_by_operator: Number(byOperator),
        key_expires_at: sql<string>`CASE WHEN key_expires_at < ${expiresAt} THEN key_expires_at ELSE ${expiresAt} END`,
      })
      .where("id", "=", id)
      .returning(sql<string>`key_expires_at`.as("end"))
      .executeTakeFirstOrThrow();
    return end;
  }

  /**
   * Call it when the next key is used: that key becomes the only one. If an operator made it because an ended key was used,
   * the case is closed: all ended keys are forgotten, and the replaced key is not remembered, as it may be the thief's.
   *
   * @returns false if it was the only one already
   */
  async promoteKey(id: number, keyHash: string, at: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom("nodes")
      .selectAll()
      .where("id", "=", id)
      .where("next_key_hash", "=", keyHash)
      .executeTakeFirst();
    if (row === undefined) return false;
    const isSettled = row.next_key_by_operator !== 0 && (await this.#endedKeys.settle(id));
    if (!isSettled) await this.#endedKeys.addUsed(row, at);
    await this.#db
      .updateTable("nodes")
      .set({
        key_id: sql`next_key_id`,
        key_hash: sql`next_key_hash`,
        next_key_id: null,
        next_key_hash: null,
        next_key_by_operator: 0,
        key_expires_at: null,
      })
      .where("id", "=", id)
      .execute();
    return true;
  }

  /**
   * Accepts the removals up to `revision` that a node withholds; those of all nodes when `name` is undefined.
   *
   * @returns the nodes by name
   * @throws MailError node_not_found
   */
  async acceptRemovals(name: string | undefined, revision: number): Promise<MailNode[]> {
    let query = this.#db
      .updateTable("nodes")
      .set({ accepted_revision: revision, acceptances: sql`acceptances + 1` });
    if (name !== undefined) query = query.where("name", "=", name);
    const rows = await query.returningAll().execute();
    if (name !== undefined) found(name, rows[0]);
    return rows.map(toNode).sort((one, other) => one.name.localeCompare(other.name));
  }

  /** @param limitedUsers the number of those that the report names and the node serves; null if it names none */
  async recordReport(
    id: number,
    report: Report,
    at: string,
    limitedUsers: number | null = null,
  ): Promise<void> {
    const withheld = withheldIn(report);
    await this.#db
      .updateTable("nodes")
      .set({
        applied_revision: report.revision,
        applied_history: report.history,
        applied_digest: report.digest,
        applied_part: sql`concat(role, domains)`,
        report_status: report.status,
        report_reason: report.reason,
        report_count: report.count,
        withheld_domains: withheld?.domains ?? null,
        withheld_users: withheld?.users ?? null,
        withheld_aliases: withheld?.aliases ?? null,
        withheld_domain_aliases: withheld?.domain_aliases ?? null,
        program_version: report.version,
        host: report.host ?? null,
        dovecot_version: report.dovecot ?? null,
        failed_checks: report.failed_checks?.join() ?? null,
        limited_users: limitedUsers,
        reported_at: at,
      })
      .where("id", "=", id)
      .execute();
  }

  #named(name: string) {
    return this.#db.selectFrom("nodes").selectAll().where("name", "=", name).executeTakeFirst();
  }
}

function toContact(at: string | null, address: string | null): Contact | null {
  return at === null ? null : { at, address };
}

/** @throws MailError node_not_found */
function found<Row>(name: string, row: Row | undefined): Row {
  if (row !== undefined) return row;
  throw new MailError(
    "node_not_found",
    `There is no node named ${name}.`,
    text`See the nodes with ${next("list-nodes")}.`,
  );
}

/** The removals that a node withholds. An older program says it only as its reason, and counts aliases as users. */
function withheldIn({ withheld, status, count }: Report): Counts | null {
  if (withheld !== undefined) return withheld;
  if (status === "withheld" && count !== null) {
    return { domains: 0, users: count, aliases: 0, domain_aliases: 0 };
  }
  return status === "applied" ? { domains: 0, users: 0, aliases: 0, domain_aliases: 0 } : null;
}

function withheldOf(row: Selectable<Schema["nodes"]>): Withheld | null {
  const [domains, users] = [row.withheld_domains, row.withheld_users];
  const [aliases, domain_aliases] = [row.withheld_aliases, row.withheld_domain_aliases];
  if (domains === null || users === null || aliases === null || domain_aliases === null) return null;
  return { domains, users, aliases, domain_aliases, addresses: users + aliases + domain_aliases };
}

/** As an mx, the node would not learn whose login ends. */
function keepsLogins(name: string): MailError {
  return new MailError(
    "invalid_input",
    `${name} is a mailbox node: it has passwords, and its Dovecot lets people log in.`,
    text`Nothing was changed. To make it an mx, remove it with ${operator(`node remove ${name}`)}, stop its Dovecot and delete its replica. Then add it as a new node, and set the role before it joins.`,
  );
}

/** Equal to SQL's concat(role, domains). */
function partOf({ role, domains }: Pick<Selectable<Schema["nodes"]>, "role" | "domains">): string {
  return `${role}${domains ?? ""}`;
}

function checksIn(text: string | null): CheckName[] | null {
  return text === null ? null : checkNames.filter((name) => text.split(",").includes(name));
}

function toNode(row: Selectable<Schema["nodes"]>): MailNode {
  return {
    id: row.id,
    name: row.name,
    ipAddress: row.ip_address,
    view: viewOf(row.role, row.domains === null ? null : JSON.parse(row.domains)),
    createdAt: row.created_at,
    report:
      row.reported_at === null
        ? null
        : {
            revision: row.applied_revision ?? 0,
            history: row.applied_history ?? "",
            digest: row.applied_part === partOf(row) ? row.applied_digest : null,
            status: row.report_status as Report["status"],
            reason: row.report_reason as Report["reason"],
            count: row.report_count,
            withheld: withheldOf(row),
            version: row.program_version ?? "",
            host: row.host,
            dovecot: row.dovecot_version,
            failedChecks: checksIn(row.failed_checks),
            limitedUsers: row.limited_users,
            at: row.reported_at,
          },
  };
}
