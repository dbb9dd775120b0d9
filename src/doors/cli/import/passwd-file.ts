import { parseStored } from "../../../mail/stored-hash.ts";
import { type FoundMailbox, limitOf, type Source, type SourceFile } from "./source.ts";

/** Dovecot's passwd-file: address:password:uid:gid:gecos:home:shell:extra fields, which quotas are among. */
export function readPasswdFile(files: readonly SourceFile[]): Source {
  const mailboxes = files.flatMap(({ name, text }) =>
    text.split(/\r?\n/).flatMap((line, index) => mailboxIn(line, `${name}, line ${index + 1}`)),
  );
  return { domains: [], mailboxes, leftOut: [] };
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

/** In Dovecot 2.4's form or 2.3's, whichever stands there. */
function quotaIn(fields: string, place: string): number | null {
  const [, newer] = /(?:^|\s)userdb_quota_storage_size=(\S+)/.exec(fields) ?? [];
  const [, kind, older = ""] = /(?:^|\s)userdb_quota_rule=\*:(storage|bytes)=(\S+)/.exec(fields) ?? [];
  if (newer !== undefined) return limitOf(newer, place);
  if (kind === undefined) return null;
  // 2.3 takes a storage without unit as KiB.
  return limitOf(kind === "storage" && /^\d+$/.test(older) ? `${older}K` : older, place);
}
