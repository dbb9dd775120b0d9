import { createHash, hash, randomBytes, randomInt } from "node:crypto";
import { isStoredHash } from "./stored-hash.ts";

/** The most app passwords of one mailbox. */
export const MOST_APP_PASSWORDS = 20;

/** 131 random bits, and nothing that a phone's keyboard has on another page. */
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const LENGTH = 28;
const SALT_BYTES = 8;

/** The app passwords of a mailbox, as nodes serve them: each one's hash by its selector. */
export type AppPasswordHashes = Readonly<Record<string, string>>;

/** A new app password, with what is kept of it: docs/decisions/app-passwords.md. */
export function newAppPassword(): { text: string; selector: string; hash: string } {
  const letters = Array.from({ length: LENGTH }, () => LETTERS.charAt(randomInt(LETTERS.length))).join("");
  const text = letters.replace(/(.{4})(?!$)/g, "$1-");
  return { text, selector: appPasswordSelector(text), hash: saltedHash(text) };
}

/** Names one of a mailbox's app passwords: the first 64 bits of its SHA-256, in hexadecimal. Dovecot computes the same. */
export function appPasswordSelector(password: string): string {
  return hash("sha256", password).slice(0, 16);
}

function saltedHash(text: string): string {
  const salt = randomBytes(SALT_BYTES);
  const digest = createHash("sha512").update(text).update(salt).digest();
  return `{SSHA512}${Buffer.concat([digest, salt]).toString("base64")}`;
}

/** True for the app passwords of a record: some, sorted by selector, each in the form in which Dovecot verifies it. */
export function areAppPasswordHashes(value: unknown): value is AppPasswordHashes {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  return (
    entries.length > 0 &&
    entries.length <= MOST_APP_PASSWORDS &&
    entries.every(
      ([selector, stored], index) =>
        /^[0-9a-f]{16}$/.test(selector) &&
        (entries[index - 1]?.[0] ?? "") < selector &&
        typeof stored === "string" &&
        stored.startsWith("{SSHA512}") &&
        isStoredHash(stored),
    )
  );
}
