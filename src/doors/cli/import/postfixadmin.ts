import { parseStored } from "../../../mail/stored-hash.ts";
import { type FoundMailbox, limitOf, type Source, type SourceFile, unreadable } from "./source.ts";
import { type Row, readTables, type Tables } from "./sql.ts";

/** PostfixAdmin's tables domain, mailbox, alias and alias_domain; mailcow's have the same columns, as far as read here. */
export function readPostfixAdmin(files: readonly SourceFile[]): Source {
  const tables = readTables(files);
  return {
    domains: domainsOf(tables),
    mailboxes: rowsOf(tables, "mailbox").map((row, index) => mailboxOf(row, placeOf(index))),
    aliases: aliasesOf(tables),
    domainAliases: domainAliasesOf(tables),
    leftOut: [],
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

/** Skips PostfixAdmin's own entry ALL, which is not a domain, and domain aliases, which it lists as domains too. */
export function domainsOf(tables: Tables): Source["domains"] {
  const aliases = new Set(rowsOf(tables, "alias_domain").map(({ alias_domain }) => alias_domain));
  return rowsOf(tables, "domain").flatMap(({ domain, active, backupmx }) => {
    if (typeof domain !== "string" || domain === "ALL" || aliases.has(domain)) return [];
    if (!isOn(active)) return [{ name: domain, problem: INACTIVE }];
    if (backupmx !== undefined && isOn(backupmx))
      return [{ name: domain, problem: "it is there as a backup MX only" }];
    return [{ name: domain }];
  });
}

/** Skips each mailbox's alias to itself, which PostfixAdmin needs. */
export function aliasesOf(tables: Tables): Source["aliases"] {
  return rowsOf(tables, "alias").flatMap(({ address, goto, active, sender_allowed }, index) => {
    const name = address?.trim() ?? "";
    const targets = (goto ?? "").split(",").map((target) => target.trim());
    if (targets.every((target) => target.toLowerCase() === name.toLowerCase())) return [];
    return [
      {
        address: name,
        place: `table alias, row ${index + 1}`,
        targets,
        // Only mailcow has this column.
        send_as: sender_allowed !== undefined && isOn(sender_allowed),
        ...(!isOn(active) && { problem: INACTIVE }),
      },
    ];
  });
}

export function domainAliasesOf(tables: Tables): Source["domainAliases"] {
  return rowsOf(tables, "alias_domain").map(({ alias_domain, target_domain, active }) => ({
    name: alias_domain ?? "",
    of: target_domain ?? "",
    ...(!isOn(active) && { problem: INACTIVE }),
  }));
}

const INACTIVE = "it is inactive there";
