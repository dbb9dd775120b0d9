import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { ImportedAlias, ImportedDomainAlias } from "../../../../tools/operator/import/aliases.ts";
import type { ImportedDomain, ImportedMailbox } from "../../../../tools/operator/import/plan.ts";
import { UsageError } from "../../../command-line/usage-error.ts";
import { MailError } from "../../../mail/error.ts";
import type { StoredPassword } from "../../../mail/stored-hash.ts";
import { textOf } from "../../utf8.ts";

/** A file to import, as text. `name` is the last part of its path, for messages and for formats that depend on it. */
export interface SourceFile {
  name: string;
  text: string;
}

/** A mailbox as its file has it. Its password may be in clear text, which call() never sees. */
export type FoundMailbox = Omit<ImportedMailbox, "password"> & { password: StoredPassword };

/** A record that cannot be imported: a calendar resource and the like. */
export interface LeftOut {
  /** An address, or a domain. */
  name: string;
  reason: string;
}

/** The content of the files of one mail system. */
export interface Source {
  domains: ImportedDomain[];
  mailboxes: FoundMailbox[];
  aliases: ImportedAlias[];
  domainAliases: ImportedDomainAlias[];
  leftOut: LeftOut[];
}

const MIB = 1 << 20;

/** A size in bytes as a limit in MiB, rounded up; null for 0, which means no limit in all these systems. */
export function limitOfBytes(bytes: number): number | null {
  return bytes === 0 ? null : Math.ceil(bytes / MIB);
}

const UNITS: Readonly<Record<string, number>> = { "": 1, B: 1, K: 1 << 10, M: MIB, G: 1 << 30, T: 2 ** 40 };

/**
 * A size such as 250M, 1 GB or 1048576 (bytes) as a limit in MiB; null for none.
 *
 * @throws MailError invalid_input, which names the place but does not repeat the text
 */
export function limitOf(text: string, place: string): number | null {
  const typed = text.trim();
  if (/^(|-|none|unlimited|onbeperkt|ignore)$/i.test(typed)) return null;
  const [, number, unit = ""] = /^(\d{1,15}(?:\.\d{1,3})?)\s*([BKMGT]?)(?:i?B)?$/i.exec(typed) ?? [];
  const factor = UNITS[unit.toUpperCase()];
  if (number === undefined || factor === undefined) {
    throw unreadable(place, "the size limit is not a size.", "Write it as 250M, 1G, or 0 for no limit.");
  }
  return limitOfBytes(Number(number) * factor);
}

/** The refusal of an unreadable file. It repeats none of its content, which may be a password. */
export function unreadable(place: string, problem: string, hint: string): MailError {
  return new MailError("invalid_input", `${place}: ${problem}`, `Nothing was changed. ${hint}`);
}

/** Limit of a file, which is read whole: a V8 string has at most 512 MiB. */
const LARGEST_FILE = 500 * 2 ** 20;

/** @throws UsageError; MailError invalid_input for a file that is too large, or not UTF-8 */
export function readSource(path: string): SourceFile {
  const name = basename(path);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    throw new UsageError(`The file ${path} cannot be read.`);
  }
  if (bytes.length > LARGEST_FILE)
    throw unreadable(name, "the file is larger than 500 MiB.", "Divide it by domains.");
  const text = textOf(bytes);
  if (text === undefined) {
    throw unreadable(name, "the file is not UTF-8.", "Convert it first: iconv -f WINDOWS-1252 -t UTF-8.");
  }
  return { name, text };
}
