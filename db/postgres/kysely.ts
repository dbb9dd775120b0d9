import { hash } from "node:crypto";
import { Kysely, PostgresDialect } from "kysely";
import type pg from "pg";
import type { Schema } from "../schema.ts";

const known = new WeakMap<pg.ClientBase, Kysely<Schema>>();

/** Runs Kysely's statements on this connection, where each is parsed once. */
export function kyselyOn(client: pg.ClientBase): Kysely<Schema> {
  let db = known.get(client);
  if (db === undefined) {
    const connection = {
      query: (text: string, values: unknown[]) => client.query(prepared(text, values)),
      release() {},
    };
    const pool = { connect: async () => connection, end: async () => {} };
    db = new Kysely({ dialect: new PostgresDialect({ pool: pool as unknown as pg.Pool }) });
    known.set(client, db);
  }
  return db;
}

/** A statement that this connection parses once. */
export function prepared(text: string, values: readonly unknown[]): pg.QueryConfig {
  return { name: nameOf(text), text, values: [...values] };
}

const names = new Map<string, string>();

/** A statement with lists of values has many texts: PostgreSQL keeps all that have a name. */
const MOST_NAMES = 500;

function nameOf(text: string): string | undefined {
  const found = names.get(text);
  if (found !== undefined || names.size >= MOST_NAMES) return found;
  const name = hash("sha256", text).slice(0, 16);
  names.set(text, name);
  return name;
}
