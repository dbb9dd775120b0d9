import { parse } from "csv-parse/sync";
import { type SourceFile, unreadable } from "./source.ts";

/** A row of a table by its columns; null for SQL's NULL. */
export type Row = Readonly<Record<string, string | null>>;

/** The rows of tables by their names. */
export type Tables = ReadonlyMap<string, readonly Row[]>;

/**
 * Reads the tables in a dump of mariadb-dump, mysqldump or pg_dump; or the table `mailbox` in a query's output, with its
 * columns in the first line: tabs from mariadb --batch, commas from psql --csv.
 *
 * @throws MailError invalid_input for a file that is cut short, or of another format
 */
export function readTables(files: readonly SourceFile[]): Tables {
  const tables = new Map<string, Row[]>();
  const add = (table: string, rows: readonly Row[]) =>
    void tables.set(table, (tables.get(table) ?? []).concat(rows));
  for (const file of files) {
    const [first = ""] = file.text.split("\n", 1);
    if (/^[\w,\t]+\r?$/.test(first)) add("mailbox", printedRows(file, first.includes("\t") ? "\t" : ","));
    else for (const [table, rows] of dumpedRows(file)) add(table, rows);
  }
  return tables;
}

function printedRows({ name, text }: SourceFile, delimiter: string): Row[] {
  const isBatch = delimiter === "\t";
  try {
    return parse(text, {
      columns: true,
      delimiter,
      ...(isBatch && {
        quote: null,
        cast: (value: string, { header }: { header: boolean }) =>
          header || value !== "NULL" ? unescaped(value, BATCH) : null,
      }),
    }) as Row[];
  } catch {
    throw unreadable(name, "some lines do not have the columns of the first line.", "Run the query again.");
  }
}

/** The letters that mariadb --batch and pg_dump write after a backslash; mariadb-dump's are almost the same. */
const BATCH: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  "0": "\0",
  b: "\b",
  f: "\f",
  v: "\v",
};

function unescaped(text: string, letters: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\\(.)/gs, (_, letter: string) => letters[letter] ?? letter);
}

function* dumpedRows(file: SourceFile): Generator<[table: string, rows: Row[]]> {
  yield* copiedRows(file);
  yield* insertedRows(file);
}

/** pg_dump: COPY public.mailbox (username, …) FROM stdin; then a line for each row, then \. */
function* copiedRows({ name, text }: SourceFile): Generator<[table: string, rows: Row[]]> {
  const head = /^COPY (?:\w+\.)?"?(\w+)"? \(([^)]*)\) FROM stdin;\r?\n/gm;
  for (let found = head.exec(text); found !== null; found = head.exec(text)) {
    const [, table = "", names = ""] = found;
    const end = text.startsWith("\\.", head.lastIndex)
      ? head.lastIndex
      : text.indexOf("\n\\.", head.lastIndex) + 1;
    if (end === 0) throw cutShort(name);
    const columns = names.split(",").map((column) => column.trim().replaceAll('"', ""));
    const lines = text.slice(head.lastIndex, end).split(/\r?\n/).slice(0, -1);
    const rows = lines.map((line) =>
      row(
        columns,
        line.split("\t").map((value) => (value === "\\N" ? null : unescaped(value, BATCH))),
      ),
    );
    yield [table, rows];
    head.lastIndex = end;
  }
}

/** mariadb-dump: CREATE TABLE `mailbox` ( `username` …); then INSERT INTO `mailbox` VALUES ('…',…),(…); */
function* insertedRows({ name, text }: SourceFile): Generator<[table: string, rows: Row[]]> {
  const columnsOf = new Map<string, string[]>();
  for (const [, table = "", body = ""] of text.matchAll(
    /^CREATE TABLE (?:IF NOT EXISTS )?`(\w+)` \((.*?)\)(?:;| ENGINE=[^\n]*;)$/gms,
  )) {
    // A column is a name in backticks at the beginning, or after a comma that is not inside parentheses.
    const names = `,${body}`.replaceAll(/\([^()]*\)/g, "").matchAll(/,\s*`(\w+)`/g);
    columnsOf.set(
      table,
      [...names].map(([, column = ""]) => column),
    );
  }
  const head = /^INSERT INTO `(\w+)`(?: \(([^)]*)\))? VALUES\s*/gm;
  for (let found = head.exec(text); found !== null; found = head.exec(text)) {
    const [, table = "", named] = found;
    const columns =
      named?.split(",").map((column) => column.trim().replaceAll("`", "")) ?? columnsOf.get(table);
    if (columns === undefined) throw unreadable(name, `the dump does not describe the table ${table}.`, DUMP);
    const { rows, end } = valuesFrom(text, head.lastIndex, columns, name);
    yield [table, rows];
    head.lastIndex = end;
  }
}

const DUMP = "Dump the tables with their structure: mariadb-dump DATABASE domain mailbox alias alias_domain.";

/** A text in quotes, a number, NULL, or the signs between values. */
const TOKEN = /\s*(?:(?:_binary\s+)?'([^'\\]*(?:(?:\\.|'')[^'\\]*)*)'|(NULL)|(-?[\w.]+)|([(),;]))/gsy;

function valuesFrom(text: string, start: number, columns: readonly string[], file: string) {
  const rows: Row[] = [];
  let values: Array<string | null> = [];
  TOKEN.lastIndex = start;
  for (let found = TOKEN.exec(text); found !== null; found = TOKEN.exec(text)) {
    const [, quoted, nothing, bare, sign] = found;
    if (quoted !== undefined) values.push(unescaped(quoted.replaceAll("''", "'"), BATCH));
    else if (nothing !== undefined) values.push(null);
    else if (bare !== undefined) values.push(bare);
    else if (sign === ")") {
      if (values.length !== columns.length)
        throw unreadable(file, "a row has other columns than its table.", DUMP);
      rows.push(row(columns, values));
      values = [];
    } else if (sign === ";") return { rows, end: found.index };
  }
  throw cutShort(file);
}

function row(columns: readonly string[], values: readonly (string | null)[]): Row {
  return Object.fromEntries(columns.map((column, at) => [column, values[at] ?? null]));
}

function cutShort(file: string) {
  return unreadable(file, "the dump is cut short.", "Dump it again.");
}
