import * as z from "zod";
import { MailError } from "../../src/mail/error.ts";
import { field, plainly, type Text, text, worded } from "../../src/mail/text.ts";

/** Output fields that several tools share. */
export const Timestamp = z.string().describe("RFC 3339, UTC.");

/** An output field that a tool fills with a Text. Callers read it in their door's words: `wordedResult`. */
export const Words = z
  .custom<Text>(Array.isArray)
  .transform((said) => worded(said, plainly))
  .pipe(z.string());

/** Input fields of every list. */
export const pageFields = {
  limit: z.int().min(1).max(1000).default(100).describe("Entries per page at most."),
  cursor: z.string().max(1000).optional().describe("next_cursor of the page before."),
};

export const NextCursor = z.string().nullable().describe("Pass as cursor; null on the last page.");

/** A position in a list, as an opaque text. */
export function encodeCursor(position: readonly string[]): string {
  return Buffer.from(JSON.stringify(position)).toString("base64url");
}

/**
 * The first `limit` of these rows, and the cursor of the next page: null if there are no more.
 *
 * @param found up to one row more than `limit`
 * @param positionOf what a cursor after this row holds
 */
export function pageOf<Row>(
  found: readonly Row[],
  limit: number,
  positionOf: (row: Row) => readonly string[],
): { page: Row[]; nextCursor: string | null } {
  const page = found.slice(0, limit);
  const last = found.length > limit ? page.at(-1) : undefined;
  return { page, nextCursor: last === undefined ? null : encodeCursor(positionOf(last)) };
}

/**
 * @param length how many texts the position has
 * @throws MailError invalid_input when it is not a cursor of such a list
 */
export function decodeCursor(cursor: string, length: number): string[] {
  let position: unknown;
  try {
    position = JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    position = undefined;
  }
  if (
    Array.isArray(position) &&
    position.length === length &&
    position.every((part) => typeof part === "string")
  ) {
    return position;
  }
  throw foreignCursor();
}

export function foreignCursor(): MailError {
  return new MailError(
    "invalid_input",
    text`${field("cursor")}: this is not a cursor of this list.`,
    text`Pass the previous page's next_cursor unchanged, and the other fields as before; or leave ${field("cursor")} out to begin again.`,
  );
}
