import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { openStore } from "../../../db/sqlite/store.ts";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { rawDatabase } from "../../support/recount.ts";
import { temporaryFolder } from "../../support/store.ts";

/** A table's column, or its constraint, as both engines say it. */
type Line = string;

function sqliteSchema(file: string): { columns: Line[]; keys: Line[] } {
  const database = rawDatabase(file);
  const columns = database.prepare<
    [],
    { table: string; name: string; type: string; required: number; key: number }
  >(
    `SELECT one.name AS "table", its.name, its.type, its."notnull" AS required, its.pk AS key
     FROM sqlite_schema AS one JOIN pragma_table_info(one.name) AS its
     WHERE one.type = 'table' AND one.name NOT LIKE 'sqlite_%'`,
  );
  const unique = database.prepare<[], { table: string; columns: string }>(
    `SELECT one.name AS "table", (SELECT group_concat(name) FROM pragma_index_info(its.name)) AS columns
     FROM sqlite_schema AS one JOIN pragma_index_list(one.name) AS its WHERE one.type = 'table' AND its."unique" = 1`,
  );
  const references = database.prepare<[], { table: string; from: string; target: string; action: string }>(
    `SELECT one.name AS "table", its."from", its."table" AS target, its.on_delete AS action
     FROM sqlite_schema AS one JOIN pragma_foreign_key_list(one.name) AS its WHERE one.type = 'table'`,
  );
  return {
    columns: columns
      .all()
      .map(
        ({ table, name, type, required, key }) =>
          `${table}.${name} ${type === "INTEGER" ? "number" : "text"}${required === 1 || key > 0 ? " required" : ""}`,
      ),
    keys: [
      ...columns
        .all()
        .filter(({ key }) => key > 0)
        .map(({ table, name }) => `${table}: key ${name}`),
      ...unique.all().map(({ table, columns }) => `${table}: unique ${columns}`),
      ...references
        .all()
        .map(({ table, from, target, action }) => `${table}: ${from} of ${target}, ${action}`),
    ],
  };
}

const COLUMNS = `SELECT table_name || '.' || column_name
    || CASE WHEN data_type IN ('bigint', 'integer') THEN ' number' ELSE ' text' END
    || CASE WHEN is_nullable = 'NO' THEN ' required' ELSE '' END AS line
  FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
  WHERE table_schema = 'm25_mail' AND table_type = 'BASE TABLE' AND table_name NOT IN ('schema_version', 'timeline')`;
const KEYS = `SELECT relname || ': key ' || attname AS line FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey) WHERE contype = 'p' AND relnamespace = 'm25_mail'::regnamespace
  UNION ALL
  SELECT relname || ': unique ' || (SELECT string_agg(attname, ',' ORDER BY place) FROM unnest(conkey) WITH ORDINALITY AS its (num, place)
      JOIN pg_attribute ON attrelid = conrelid AND attnum = num)
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE contype IN ('p', 'u') AND relnamespace = 'm25_mail'::regnamespace
  UNION ALL
  SELECT one.relname || ': ' || attname || ' of ' || target.relname || ', ' ||
      CASE confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'NO ACTION' END
    FROM pg_constraint JOIN pg_class AS one ON one.oid = conrelid JOIN pg_class AS target ON target.oid = confrelid
      JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
    WHERE contype = 'f' AND one.relnamespace = 'm25_mail'::regnamespace`;

describe.skipIf(POSTGRESQL === undefined)("the tables of both engines", () => {
  test("have the same version, columns, keys and references", async () => {
    const file = join(temporaryFolder(), "m25-mail.db");
    const sqlite = openStore(file, { create: true });
    const cluster = testCluster();
    const postgresql = await openDatabase(await cluster.database("schema"), { create: true });
    expect(postgresql.schema).toBe(sqlite.schema);
    await postgresql.close();
    await sqlite.close();
    const { columns, keys } = sqliteSchema(file);
    const lines = async (query: string) =>
      (await cluster.query("schema", query)).map(({ line }) => String(line));
    expect(columns.length).toBeGreaterThan(100);
    expect((await lines(COLUMNS)).sort()).toEqual(columns.sort());
    // SQLite has no index of its own for an integer key, and none is needed for it to be unique.
    const found = new Set(await lines(KEYS));
    expect(keys.filter((line) => !found.has(line))).toEqual([]);
  });
});
