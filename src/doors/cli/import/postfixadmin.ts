import { parseStored } from "../../../mail/stored-hash.ts";
import {
  type FoundMailbox,
  limitOf,
  NO_ALIASES,
  NO_DOMAIN_ALIASES,
  type Source,
  type SourceFile,
  unreadable,
} from "./source.ts";
import { type Row, readTables, type Tables } from "./sql.ts";

/** PostfixAdmin's tables domain, mailbox, alias and alias_domain; mailcow's have the same columns, as far as read here. */
export function readPostfixAdmin(files: readonly SourceFile[]): Source {
  const tables = readTables(files);
  return {
    domains: domainsOf(tables),
    mailboxes: rowsOf(tables, "mailbox").map((row, index) => mailboxOf(row, placeOf(index))),
    leftOut: aliasesOf(tables),
  };
}

export function rowsOf(tables: Tables, table: string): readonly Row[] {
  return tables.get(table) ?? [];
}

/** The place of a row in the table mailbox, for messages. */
export function placeOf(index: number): string {
  return `table mailbox, row ${index + 1}`;
}

/** A truth value as MariaDB or PostgreSQL prints it; true if the column is missing. */
export function isOn(value: string | null | undefined): boolean {
  return value === undefined || value === "1" || value === "t" || value === "true";
}

/** @throws MailError invalid_input for a row without the required columns */
export function mailboxOf(row: Row, place: string): FoundMailbox {
  const { username, password, quota } = row;
  if (typeof username !== "string" || password === undefined || typeof quota !== "string") {
    throw unreadable(place, "it lacks one of username, password and quota.", "docs/move.md has the query.");
  }
  return {
    address: username,
    place,
    password: parseStored(password ?? ""),
    quota_mb: limitOf(quota, place),
    active: isOn(row.active),
  };
}

/** Skips PostfixAdmin's own entry ALL, which is not a domain. */
export function domainsOf(tables: Tables): Source["domains"] {
  return rowsOf(tables, "domain").flatMap(({ domain, active, backupmx }) => {
    if (typeof domain !== "string" || domain === "ALL") return [];
    if (!isOn(active)) return [{ name: domain, problem: "it is inactive there" }];
    if (backupmx !== undefined && isOn(backupmx))
      return [{ name: domain, problem: "it is there as a backup MX only" }];
    return [{ name: domain }];
  });
}

/** Skips each mailbox's alias to itself, which PostfixAdmin needs. */
export function aliasesOf(tables: Tables): Source["leftOut"] {
  const aliases = rowsOf(tables, "alias").filter(
    ({ address, goto }) => address?.toLowerCase() !== goto?.trim().toLowerCase(),
  );
  return [
    ...aliases.map(({ address }) => ({ name: address ?? "", reason: NO_ALIASES })),
    ...rowsOf(tables, "alias_domain").map(({ alias_domain }) => ({
      name: alias_domain ?? "",
      reason: NO_DOMAIN_ALIASES,
    })),
  ];
}
