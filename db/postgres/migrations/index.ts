// The same texts in both engines.
import { withheld } from "../../sqlite/migrations/0024-withheld.ts";
import { failedChecks } from "../../sqlite/migrations/0027-failed-checks.ts";
import { sendingLimits } from "../../sqlite/migrations/0028-sending-limits.ts";
import { addDigests } from "./add-digests.ts";
import { dkimKeys } from "./dkim-keys.ts";
import { mailboxSizes } from "./mailbox-sizes.ts";
import { mailboxUsage } from "./mailbox-usage.ts";
import { START, start } from "./start.ts";
import { timeline } from "./timeline.ts";

/** Append-only, as SQLite's own: each number changes both engines' tables in the same way. */
const later: readonly string[] = [
  withheld,
  dkimKeys,
  timeline,
  failedChecks,
  sendingLimits,
  mailboxUsage,
  mailboxSizes,
  addDigests,
];

/** The migrations that a database of this version has not run; all of them without one. */
export function migrationsAfter(version: number | undefined): readonly string[] {
  return version === undefined ? [start, ...later] : later.slice(version - START);
}

/** The version of the tables after all migrations. */
export const newest = START + later.length;
