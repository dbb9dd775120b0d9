import { type Kysely, type Selectable, sql } from "kysely";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";

/** ms to remember an ended key: a copy of a key file may lie in a backup for months. */
const KEPT_FOR = 365 * 86_400_000;
/**
 * Keys to remember for each node. A thief gets at most 6 a minute (doors/sync/node-limits.ts), so pushing out the key that the
 * node itself still presents takes almost three hours.
 */
const MOST_OF_A_NODE = 1000;
/** Rows to delete in one transaction. Other writers wait for it. */
const FORGET_ROWS = 1000;

/** The keys in a node's row. */
type NodeKeys = Pick<
  Selectable<Schema["nodes"]>,
  "id" | "name" | "key_id" | "key_hash" | "next_key_id" | "next_key_hash"
>;

/** Hashes of ended sync keys, and the time of each one's last use after its end. */
export class EndedKeyTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  /** Remembers the node's current key. */
  async addUsed(node: NodeKeys, at: string): Promise<void> {
    await this.#add(node, { id: node.key_id, hash: node.key_hash }, at);
  }

  /** Remembers the node's next key, if there is one. */
  async addNext(node: NodeKeys, at: string): Promise<void> {
    const { next_key_id: id, next_key_hash: hash } = node;
    if (id !== null && hash !== null) await this.#add(node, { id, hash }, at);
  }

  async #add({ id, name }: NodeKeys, key: { id: string; hash: string }, at: string): Promise<void> {
    await this.#db
      .insertInto("ended_keys")
      .values({ key_id: key.id, key_hash: key.hash, node_id: id, node: name, ended_at: at })
      .execute();
    const tooMany = this.#db
      .selectFrom("ended_keys")
      .select("key_id")
      .where("node_id", "=", id)
      .orderBy(sql`presented_at IS NULL`)
      .orderBy("ended_at", "desc")
      .limit(Number.MAX_SAFE_INTEGER) // SQLite has no OFFSET without LIMIT
      .offset(MOST_OF_A_NODE);
    await this.#db.deleteFrom("ended_keys").where("key_id", "in", tooMany).execute();
  }

  /**
   * Forgets the node's keys if one of them was presented, after the operator has renewed the key. Otherwise a thief could
   * make the same known theft look new with each older key.
   *
   * @returns whether one was presented
   */
  async settle(nodeId: number): Promise<boolean> {
    const presented = await this.#db
      .selectFrom("ended_keys")
      .select("key_id")
      .where("node_id", "=", nodeId)
      .where("presented_at", "is not", null)
      .limit(1)
      .executeTakeFirst();
    if (presented === undefined) return false;
    await this.#db.deleteFrom("ended_keys").where("node_id", "=", nodeId).execute();
    return true;
  }

  /** @returns true the first time; undefined if the key is forgotten */
  async notePresented(keyId: string, address: string, at: string): Promise<boolean | undefined> {
    const known = await this.#db
      .selectFrom("ended_keys")
      .select("presented_at")
      .where("key_id", "=", keyId)
      .executeTakeFirst();
    if (known === undefined) return undefined;
    await this.#db
      .updateTable("ended_keys")
      .set({ presented_at: at, presented_from: address })
      .where("key_id", "=", keyId)
      .execute();
    return known.presented_at === null;
  }

  /**
   * Deletes some of the keys that ended a year ago.
   *
   * @returns whether there is more to forget
   */
  async forget(now: Date): Promise<boolean> {
    const before = new Date(now.getTime() - KEPT_FOR).toISOString();
    const old = this.#db
      .selectFrom("ended_keys")
      .select("key_id")
      .where("ended_at", "<", before)
      .limit(atMost(FORGET_ROWS));
    const { numDeletedRows } = await this.#db
      .deleteFrom("ended_keys")
      .where("key_id", "in", old)
      .executeTakeFirstOrThrow();
    return numDeletedRows === BigInt(FORGET_ROWS);
  }
}
