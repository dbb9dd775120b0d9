import { aliasesOf, domainAliasesOf, domainsOf, isOn, mailboxOf, placeOf, rowsOf } from "./postfixadmin.ts";
import { type FoundMailbox, type Source, type SourceFile, unreadable } from "./source.ts";
import { type Row, readTables, type Tables } from "./sql.ts";

/** Reads mailcow's database, from a dump or a query's output; or its API's answers, which never have a hash. */
export function readMailcow(files: readonly SourceFile[]): Source {
  const isApi = files.every(({ text }) => /^\s*[[{]/.test(text));
  const tables = isApi ? answeredTables(files) : readTables(files);
  const rows = rowsOf(tables, "mailbox").map((row, index) => ({ row, place: placeOf(index) }));
  const isResource = ({ row }: { row: Row }) => (row.kind ?? "") !== "";
  return {
    domains: domainsOf(tables),
    mailboxes: rows.filter((one) => !isResource(one)).map(({ row, place }) => mailcowMailbox(row, place)),
    aliases: aliasesOf(tables),
    domainAliases: domainAliasesOf(tables),
    leftOut: [
      ...rows.filter(isResource).map(({ row }) => ({
        name: row.username ?? "",
        reason: "it is a calendar resource without mail",
      })),
      ...rowsOf(tables, "app_passwd").map(({ mailbox }) => ({
        name: mailbox ?? "",
        reason: "app passwords do not come along: its owner makes new ones",
      })),
    ],
  };
}

function mailcowMailbox(row: Row, place: string): FoundMailbox {
  const mailbox = mailboxOf(row, place);
  // 2: mail arrives, but nobody can log in.
  const isClosed = row.active === "2";
  const problem = isClosed ? "its login is off there" : problemOf(row);
  return {
    ...mailbox,
    active: isClosed || isOn(row.active),
    password: problem === undefined ? mailbox.password : { problem },
  };
}

function problemOf({ authsource, password }: Row): string | undefined {
  if ((authsource ?? "mailcow") !== "mailcow")
    return "its password is in another directory (LDAP or single sign-on)";
  return password === API ? "mailcow's API has no hashes" : undefined;
}

/** Replaces the password in the API's answers. */
const API = "****";

/** The answers of /api/v1/get/domain/all, mailbox/all, alias/all and alias-domain/all, as tables. */
function answeredTables(files: readonly SourceFile[]): Tables {
  const tables = new Map<string, Row[]>();
  for (const { name, text } of files) {
    for (const entry of entriesIn(name, text)) {
      const row: Row = Object.fromEntries(
        Object.entries(entry).flatMap(([key, value]) =>
          isScalar(value) ? [[key, value === null ? null : String(value)]] : [],
        ),
      );
      const [table, whole] = tableRow(row);
      const rows = tables.get(table) ?? [];
      rows.push(whole);
      tables.set(table, rows);
    }
  }
  return tables;
}

function entriesIn(name: string, text: string): object[] {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw unreadable(name, "the file is not JSON.", "Ask the API again.");
  }
  const entries = Array.isArray(answer) ? answer : [answer];
  if (entries.every((entry) => typeof entry === "object" && entry !== null)) return entries;
  throw unreadable(name, "the file is not an answer of mailcow's API.", "docs/move.md has the requests.");
}

function isScalar(value: unknown): boolean {
  return value === null || ["string", "number", "boolean"].includes(typeof value);
}

function tableRow(row: Row): [table: string, row: Row] {
  if ("username" in row) return ["mailbox", { ...row, password: API }];
  if ("alias_domain" in row) return ["alias_domain", row];
  if ("goto" in row) return ["alias", row];
  return ["domain", { ...row, domain: row.domain_name ?? null }];
}
