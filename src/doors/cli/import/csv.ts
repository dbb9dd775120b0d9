import { parse } from "csv-parse/sync";
import { looksStored } from "../../../mail/password.ts";
import { isDigest, parseStored, type StoredPassword } from "../../../mail/stored-hash.ts";
import { type FoundMailbox, limitOf, type Source, type SourceFile, unreadable } from "./source.ts";

/** The fields of columns, by the names in the first line. */
const COLUMNS = {
  address: ["email", "e-mail", "address", "username", "user"],
  password: ["password", "wachtwoord"],
  hash: ["password_hash", "hash"],
  mib: ["quota_mb", "quota_mib"],
  bytes: ["quota_bytes"],
  size: ["quota", "quotum"],
  active: ["active"],
  targets: ["targets"],
  waiting: ["waiting_targets"],
  sendAs: ["send_as"],
} as const;

type Fields = Partial<Record<keyof typeof COLUMNS, string>>;

/**
 * CSV with column names in the first line, separated by commas, semicolons or tabs. A password is clear text, or a hash if it
 * begins like one; a column for hashes has only hashes. `@example.nl` in place of an address means a domain without mailboxes. A row
 * with targets is an alias; `@example.org` with the one target `@example.nl` is a domain alias.
 */
export function readCsv(files: readonly SourceFile[]): Source {
  const source: Source = { domains: [], mailboxes: [], aliases: [], domainAliases: [], leftOut: [] };
  for (const file of files) {
    const rows = rowsIn(file);
    const names = kindsOf(rows[0] ?? [], file.name);
    for (const [index, row] of rows.slice(1).entries()) {
      const fields: Fields = Object.fromEntries(row.map((value, at) => [names[at], value]));
      const { address = "", targets = "", waiting = "" } = fields;
      if (address.startsWith("@") && targets.startsWith("@"))
        source.domainAliases.push({ name: address.slice(1), of: targets.slice(1) });
      else if (targets !== "" || waiting !== "")
        source.aliases.push(aliasIn(fields, `${file.name}, entry ${index + 1}`));
      else if (address.startsWith("@")) source.domains.push({ name: address.slice(1) });
      else source.mailboxes.push(mailboxIn(fields, `${file.name}, entry ${index + 1}`));
    }
  }
  return source;
}

function rowsIn({ name, text }: SourceFile): string[][] {
  const [first = ""] = text.split("\n", 1);
  const delimiter = [";", "\t"].find((sign) => first.includes(sign)) ?? ",";
  try {
    return parse(text, { delimiter, skip_empty_lines: true });
  } catch {
    // The parser's own message would repeat the line.
    throw unreadable(
      name,
      "some lines do not have the columns of the first line.",
      'Quote fields with " where need be.',
    );
  }
}

/** @throws MailError invalid_input for an unknown column */
function kindsOf(header: readonly string[], file: string): (keyof typeof COLUMNS)[] {
  const kinds = header.map((typed) => {
    const name = typed.trim().toLowerCase();
    return Object.entries(COLUMNS).find(([, names]) => (names as readonly string[]).includes(name))?.[0];
  });
  const unknown = kinds.indexOf(undefined);
  const twice = kinds.findIndex((kind, at) => kind !== undefined && kinds.indexOf(kind) < at);
  if (twice >= 0) {
    const first = kinds.indexOf(kinds[twice]) + 1;
    throw unreadable(
      file,
      `columns ${first} and ${twice + 1} have the same meaning.`,
      "Leave out one of them.",
    );
  }
  if (unknown >= 0 || !kinds.includes("address")) {
    throw unreadable(
      file,
      unknown < 0 ? "there is no column for the address." : `the name of column ${unknown + 1} is unknown.`,
      `Name the columns in the first line: ${Object.values(COLUMNS).flat().join(", ")}.`,
    );
  }
  return kinds as (keyof typeof COLUMNS)[];
}

function mailboxIn(fields: Fields, place: string): FoundMailbox {
  return {
    address: (fields.address ?? "").trim(),
    place,
    password: fields.hash === undefined ? passwordIn(fields.password ?? "") : parseStored(fields.hash.trim()),
    quota_mb: limitIn(fields, place),
    active: isTrue(fields.active ?? "", "active", place),
  };
}

function aliasIn(
  { address = "", targets, waiting, sendAs = "" }: Fields,
  place: string,
): Source["aliases"][number] {
  return {
    address: address.trim(),
    place,
    targets: addressesIn(targets),
    waiting_targets: addressesIn(waiting),
    send_as: sendAs.trim() !== "" && isTrue(sendAs, "send_as", place),
  };
}

/** Addresses, separated by spaces or commas. */
function addressesIn(text = ""): string[] {
  return text.split(/[\s,]+/).filter((address) => address !== "");
}

function passwordIn(text: string): StoredPassword {
  if (text === "" || /^\*+$/.test(text) || isDigest(text) || looksStored(text))
    return parseStored(text.trim());
  return { plain: text };
}

/** @throws MailError invalid_input for a number of unknown unit */
function limitIn({ mib, bytes, size = "" }: Fields, place: string): number | null {
  if (mib !== undefined) return limitOf(/^\s*\d+\s*$/.test(mib) ? `${mib.trim()}M` : mib, place);
  if (bytes !== undefined) return limitOf(bytes, place);
  if (/^\s*[1-9]\d*\s*$/.test(size)) {
    throw unreadable(
      place,
      "its size limit has no unit.",
      "Write 500M, or name the column quota_mb or quota_bytes.",
    );
  }
  return limitOf(size, place);
}

function isTrue(text: string, column: string, place: string): boolean {
  const typed = text.trim().toLowerCase();
  if (["", "true", "1", "yes", "ja"].includes(typed)) return true;
  if (["false", "0", "no", "nee"].includes(typed)) return false;
  throw unreadable(
    place,
    `the column for ${column} is neither true nor false.`,
    "Write true or false, or leave it empty.",
  );
}
