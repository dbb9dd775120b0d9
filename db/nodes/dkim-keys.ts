import { type Kysely, sql } from "kysely";
import { DKIM_DAYS, dkimSelector } from "../../src/mail/dkim-key.ts";
import type { DkimState } from "../../src/sync/dkim.ts";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";

const DAY = 86_400_000;
/** Rows to delete in one transaction. Other writers wait for it. */
const FORGET_ROWS = 1000;

/** A key whose record a domain's zone must have. */
export interface DkimKey {
  selector: string;
  publicKey: string;
  /** The server has seen its record. */
  isSeen: boolean;
  /** No node signs with it any more; its record must stay until then (RFC 3339). null while a node has it. */
  until: string | null;
}

/** A key for whose record DNS must be asked. */
export interface UnseenKey {
  id: number;
  domain: string;
  selector: string;
  publicKey: string;
  reportedAt: string;
}

/** The public halves of nodes' DKIM keys, by domain. The private ones never leave their nodes. */
export class DkimKeyTable {
  readonly #db: Kysely<Schema>;
  readonly #within: ReadonlySet<string> | undefined;

  constructor(db: Kysely<Schema>, within: ReadonlySet<string> | undefined) {
    this.#db = db;
    this.#within = within;
  }

  /** Replaces the node's keys of these domains. Keys that were seen stay for a while: their mail is on its way. */
  async report(node: number, keys: ReadonlyMap<string, readonly string[]>, at: string): Promise<void> {
    for (const [domain, publicKeys] of keys) {
      const selectors = publicKeys.map(dkimSelector);
      const known = await this.#db
        .selectFrom("dkim_keys")
        .select(["selector", "ended_at"])
        .where("node_id", "=", node)
        .where("domain", "=", domain)
        .execute();
      const present = new Map(known.map((row) => [row.selector, row.ended_at]));
      await this.#end(
        node,
        at,
        sql`domain = ${domain} AND selector NOT IN (SELECT value FROM json_each(${JSON.stringify(selectors)}))`,
      );
      for (const [index, selector] of selectors.entries()) {
        const ended = present.get(selector);
        if (ended === null) continue;
        const version = await this.#nextVersion(node);
        if (ended !== undefined) await this.#revive(node, domain, selector, version);
        else {
          const public_key = publicKeys[index] ?? "";
          const times = { reported_at: at, look_at: at };
          await this.#db
            .insertInto("dkim_keys")
            .values({ node_id: node, domain, selector, public_key, version, ...times })
            .execute();
        }
      }
    }
  }

  /** Ends all keys of a node that is removed. */
  async endAll(node: number, at: string): Promise<void> {
    await this.#end(node, at, sql`true`);
  }

  /** The keys whose records the domain's zone must have, current ones first. */
  async of(domain: string, now: string): Promise<DkimKey[]> {
    if (!(await this.#covers(domain))) return [];
    const rows = await this.#db
      .selectFrom("dkim_keys")
      .selectAll()
      .where("domain", "=", domain)
      .where(({ eb, or }) => or([eb("ended_at", "is", null), eb("ended_at", ">", daysBefore(now))]))
      .orderBy(sql`ended_at IS NOT NULL`)
      .orderBy("id")
      .execute();
    // A machine that was copied brings its keys along.
    const bySelector = new Map(rows.toReversed().map((row) => [row.selector, row]));
    return [...bySelector.values()].toReversed().map((row) => ({
      selector: row.selector,
      publicKey: row.public_key,
      isSeen: row.seen_at !== null,
      until: row.ended_at && new Date(Date.parse(row.ended_at) + DKIM_DAYS * DAY).toISOString(),
    }));
  }

  async #covers(name: string): Promise<boolean> {
    if (this.#within === undefined || this.#within.has(name)) return true;
    const { rows } = await sql<{ of: string }>`SELECT domains.name AS of
      FROM domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id
      WHERE domain_aliases.name = ${name}`.execute(this.#db);
    return rows[0] !== undefined && this.#within.has(rows[0].of);
  }

  /** The node's dkim_version; that of its newest news. */
  async version(node: number): Promise<number> {
    const row = await this.#db
      .selectFrom("nodes")
      .select("dkim_version")
      .where("id", "=", node)
      .executeTakeFirst();
    return row?.dkim_version ?? 0;
  }

  /** The node's keys that have changed after this version, in the order of their changes. */
  async changes(
    node: number,
    after: number,
    limit: number,
  ): Promise<Array<{ selector: string; state: DkimState; version: number }>> {
    const rows = await this.#db
      .selectFrom("dkim_keys")
      .select(["selector", "seen_at", "is_replaced", "version"])
      .where("node_id", "=", node)
      .where("version", ">", after)
      .where("ended_at", "is", null)
      .orderBy("version")
      .limit(atMost(limit))
      .execute();
    return rows.map(({ selector, seen_at, is_replaced, version }) => ({
      selector,
      state: seen_at === null ? "known" : is_replaced === 0 ? "seen" : "replace",
      version,
    }));
  }

  /** Keys for whose records DNS must be asked by now, those that wait longest first. */
  async unseen(now: string, limit: number): Promise<UnseenKey[]> {
    const rows = await this.#db
      .selectFrom("dkim_keys")
      .select(["id", "domain", "selector", "public_key as publicKey", "reported_at as reportedAt"])
      .where("look_at", "<=", now)
      .orderBy("look_at")
      .limit(atMost(limit))
      .execute();
    return rows;
  }

  /** Notes that a key's record was found. From then on its node may sign with it. */
  async noteSeen(id: number, at: string): Promise<void> {
    const row = await this.#db
      .updateTable("dkim_keys")
      .set({ seen_at: at, look_at: null })
      .where("id", "=", id)
      .where("seen_at", "is", null)
      .returning("node_id")
      .executeTakeFirst();
    const node = row?.node_id ?? null;
    if (node === null) return;
    const version = await this.#nextVersion(node);
    await this.#db.updateTable("dkim_keys").set({ version }).where("id", "=", id).execute();
  }

  async lookAgain(id: number, at: string): Promise<void> {
    await this.#db
      .updateTable("dkim_keys")
      .set({ look_at: at })
      .where("id", "=", id)
      .where("seen_at", "is", null)
      .execute();
  }

  /**
   * Asks each node that signs for this domain for another key.
   *
   * @returns how many were asked; 0 also if each has made another key already
   */
  async replace(domain: string): Promise<number> {
    const { rows } = await sql<{ id: number; node: number }>`SELECT id, node_id AS node FROM dkim_keys AS key
      WHERE domain = ${domain} AND seen_at IS NOT NULL AND ended_at IS NULL AND node_id IS NOT NULL
        AND is_replaced = 0 AND NOT EXISTS (SELECT 1 FROM dkim_keys AS other WHERE other.node_id = key.node_id
          AND other.domain = key.domain AND other.seen_at IS NULL)`.execute(this.#db);
    for (const { id, node } of rows) {
      const version = await this.#nextVersion(node);
      await this.#db.updateTable("dkim_keys").set({ is_replaced: 1, version }).where("id", "=", id).execute();
    }
    return rows.length;
  }

  /**
   * Deletes some of the keys whose mail has arrived.
   *
   * @returns whether there is more to forget
   */
  async forget(now: Date): Promise<boolean> {
    const old = this.#db
      .selectFrom("dkim_keys")
      .select("id")
      .where("ended_at", "<", daysBefore(now.toISOString()))
      .limit(atMost(FORGET_ROWS));
    const { numDeletedRows } = await this.#db
      .deleteFrom("dkim_keys")
      .where("id", "in", old)
      .executeTakeFirstOrThrow();
    return numDeletedRows === BigInt(FORGET_ROWS);
  }

  /** A key that was never seen has never signed, so nobody needs it any more. */
  async #end(node: number, at: string, which: ReturnType<typeof sql<boolean>>): Promise<void> {
    const own = sql<boolean>`node_id = ${node} AND ended_at IS NULL AND ${which}`;
    await this.#db.deleteFrom("dkim_keys").where(own).where("seen_at", "is", null).execute();
    await this.#db.updateTable("dkim_keys").set({ ended_at: at }).where(own).execute();
  }

  /** Makes an ended key a current one. Its record is still in DNS, as it must be. */
  async #revive(node: number, domain: string, selector: string, version: number): Promise<void> {
    await this.#db
      .updateTable("dkim_keys")
      .set({ ended_at: null, is_replaced: 0, version })
      .where("node_id", "=", node)
      .where("domain", "=", domain)
      .where("selector", "=", selector)
      .execute();
  }

  async #nextVersion(node: number): Promise<number> {
    const { dkim_version } = await this.#db
      .updateTable("nodes")
      .set({ dkim_version: sql`dkim_version + 1` })
      .where("id", "=", node)
      .returning("dkim_version")
      .executeTakeFirstOrThrow();
    return dkim_version;
  }
}

function daysBefore(now: string): string {
  return new Date(Date.parse(now) - DKIM_DAYS * DAY).toISOString();
}
