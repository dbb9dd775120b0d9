import { parseStored } from "../../../mail/stored-hash.ts";
import { type FoundMailbox, limitOf, type Source, type SourceFile } from "./source.ts";

/** Reads Dovecot's passwd-file: address:password:uid:gid:gecos:home:shell:extra fields, which include quotas. */
export function readPasswdFile(files: readonly SourceFile[]): Source {
  const mailboxes = files.flatMap(({ name, text }) =>
    text.split(/\r?\n/).flatMap((line, index) => mailboxIn(line, `${name}, line ${index + 1}`)),
  );
  return { domains: [], mailboxes, aliases: [], domainAliases: [], leftOut: [] };
}

function mailboxIn(line: string, place: string): FoundMailbox[] {
  if (line.trim() === "" || line.startsWith("#")) return [];
  const [address = "", password = "", , , , , , ...extra] = line.split(":");
  return [
    {
      address: address.trim(),
      place,
      password: parseStored(password),
      quota_mb: quotaIn(extra.join(":"), place),
      active: true,
    },
  ];
}

/** A quota in the form of Dovecot 2.4 or 2.3. */
function quotaIn(fields: string, place: string): number | null {
  const [, newer] = /(?:^|\s)userdb_quota_storage_size=(\S+)/.exec(fields) ?? [];
  const [, kind, older = ""] = /(?:^|\s)userdb_quota_rule=\*:(storage|bytes)=(\S+)/.exec(fields) ?? [];
  if (newer !== undefined) return limitOf(newer, place);
  if (kind === undefined) return null;
  // Dovecot 2.3 takes a storage limit without a unit as KiB.
  return limitOf(kind === "storage" && /^\d+$/.test(older) ? `${older}K` : older, place);
}
