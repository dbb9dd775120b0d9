import { parse } from "csv-parse/sync";
import { looksStored } from "../../../mail/password.ts";
import { isDigest, parseStored, type StoredPassword } from "../../../mail/stored-hash.ts";
import { type FoundMailbox, limitOf, type Source, type SourceFile, unreadable } from "./source.ts";

/** What columns mean, by their names in the first line. */
const COLUMNS = {
  address: ["email", "e-mail", "address", "username", "user"],
  password: ["password", "wachtwoord"],
  hash: ["password_hash", "hash"],
  mib: ["quota_mb", "quota_mib"],
  bytes: ["quota_bytes"],
  size: ["quota", "quotum"],
  active: ["active"],
} as const;

type Fields = Partial<Record<keyof typeof COLUMNS, string>>;

/**
 * CSV with the names of its columns in the first line, and commas, semicolons or tabs between them. A password is in clear
 * text or a hash, which its beginning tells; in a column for hashes it is a hash. `@example.nl` instead of an address is a
 * domain without mailboxes.
 */
export function readCsv(files: readonly SourceFile[]): Source {
  const source: Source = { domains: [], mailboxes: [], leftOut: [] };
  for (const file of files) {
    const rows = rowsIn(file);
    const names = kindsOf(rows[0] ?? [], file.name);
    for (const [index, row] of rows.slice(1).entries()) {
      const fields: Fields = Object.fromEntries(row.map((value, at) => [names[at], value]));
      const { address = "" } = fields;
      if (address.startsWith("@")) source.domains.push({ name: address.slice(1) });
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
    // The parser's own words repeat the line.
    throw unreadable(
      name,
      "its lines do not all have the columns of the first.",
      'Quote fields with " where need be.',
    );
  }
}

/** @throws MailError invalid_input for a column that nobody knows */
function kindsOf(header: readonly string[], file: string): (keyof typeof COLUMNS)[] {
  const kinds = header.map((typed) => {
    const name = typed.trim().toLowerCase();
    return Object.entries(COLUMNS).find(([, names]) => (names as readonly string[]).includes(name))?.[0];
  });
  const unknown = kinds.indexOf(undefined);
  if (unknown >= 0 || !kinds.includes("address")) {
    throw unreadable(
      file,
      unknown < 0 ? "no column is for the address." : `nobody knows what column ${unknown + 1} is.`,
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
    active: isActive(fields.active ?? "", place),
  };
}

function passwordIn(text: string): StoredPassword {
  if (text === "" || /^\*+$/.test(text) || isDigest(text) || looksStored(text))
    return parseStored(text.trim());
  return { plain: text };
}

/** @throws MailError invalid_input for a number whose unit nobody knows */
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

function isActive(text: string, place: string): boolean {
  const typed = text.trim().toLowerCase();
  if (["", "true", "1", "yes", "ja"].includes(typed)) return true;
  if (["false", "0", "no", "nee"].includes(typed)) return false;
  throw unreadable(
    place,
    "whether it is active is neither true nor false.",
    "Write true or false, or leave it empty.",
  );
}
