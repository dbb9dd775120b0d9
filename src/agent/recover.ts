import { join } from "node:path";
import { StateDigest } from "../sync/digest.ts";
import {
  type AddressRecord,
  canonicalLine,
  type DomainRecord,
  type MailRecord,
  parseRecord,
  type UserRecord,
} from "../sync/records.ts";
import type { FileSystem } from "./file-system.ts";
import type { Kept } from "./losses.ts";

const USER = /^([^:]+):([^:]+)::::[^:]*\.([0-9a-f]{16})::.*userdb_quota_storage_size=(\d+)M$/;

/**
 * What is in service, read from the daemons' own files where the state that they were made from is lost: so that
 * even then nobody is forgotten without being counted. Best effort: a line that is none of ours is passed over.
 *
 * @returns undefined where nothing is in service
 */
export async function recoverKept(files: FileSystem, out: string, hour: number): Promise<Kept | undefined> {
  const linesOf = async (name: string): Promise<string[]> =>
    ((await files.read(join(out, name)).catch(() => undefined)) ?? "").split("\n");
  const domains = new Map<string, DomainRecord>();
  const users = new Map<string, UserRecord | AddressRecord>();
  const take = (record: MailRecord | undefined): void => {
    if (record === undefined) return;
    if ("domain" in record) domains.set(record.domain, record);
    else users.set(record.user, record);
  };
  for (const line of await linesOf("domains")) take(parseRecord(`{"domain":"${keyOf(line)}"}`, "mx"));
  for (const line of await linesOf("mailboxes")) take(parseRecord(`{"user":"${keyOf(line)}"}`, "mx"));
  for (const line of await linesOf("users")) {
    const [, user = "", password = "", mailbox = "", quota = ""] = USER.exec(line) ?? [];
    take(parseRecord(canonicalLine({ user, password, quota_mb: Number(quota), mailbox }), "mail"));
  }
  if (users.size === 0) return undefined;
  const digest = new StateDigest().toString();
  const server = { role: "mail", history: "", revision: 0, digest, cursor: "", domains, users } as const;
  const ledger = { hour, peaks: new Map([[hour, users.size]]), gone: new Map(), left: [], ignored: null };
  return { server, withheld: new Map(), ledger };
}

function keyOf(line: string): string {
  return line.endsWith(" OK") ? line.slice(0, -3) : "";
}
