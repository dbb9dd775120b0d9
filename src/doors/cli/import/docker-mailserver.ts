import { parseStored } from "../../../mail/stored-hash.ts";
import { type FoundMailbox, limitOf, type Source, type SourceFile, unreadable } from "./source.ts";

interface Line {
  text: string;
  place: string;
}

/** Reads files of docker-mailserver's folder config, by their names. */
export function readDockerMailserver(files: readonly SourceFile[]): Source {
  const unknown = files.find(({ name }) => !KNOWN.includes(name));
  if (unknown !== undefined) {
    throw unreadable(unknown.name, "docker-mailserver has no such file.", `It has ${KNOWN.join(", ")}.`);
  }
  const limits = new Map(
    linesOf(files, QUOTAS).map(({ text, place }) => {
      const [address = "", limit = ""] = text.split(":");
      return [address.trim().toLowerCase(), limitOf(limit, place)];
    }),
  );
  return {
    domains: [],
    mailboxes: linesOf(files, ACCOUNTS).map((line) => mailboxIn(line, limits)),
    ...aliasesIn(linesOf(files, ALIASES)),
    leftOut: [],
  };
}

const ACCOUNTS = "postfix-accounts.cf";
const QUOTAS = "dovecot-quotas.cf";
const ALIASES = "postfix-virtual.cf";
const KNOWN = [ACCOUNTS, QUOTAS, ALIASES];

/** A file's lines without comments and blank lines. */
function linesOf(files: readonly SourceFile[], wanted: string): Line[] {
  return files
    .filter(({ name }) => name === wanted)
    .flatMap(({ text }) => text.split(/\r?\n/))
    .map((text, index) => ({ text: text.trim(), place: `${wanted}, line ${index + 1}` }))
    .filter(({ text }) => text !== "" && !text.startsWith("#"));
}

/** Lines address|hash, sometimes with a third column of Dovecot's fields. */
function mailboxIn({ text, place }: Line, limits: ReadonlyMap<string, number | null>): FoundMailbox {
  const [address = "", password = ""] = text.split("|");
  return {
    address,
    place,
    password: parseStored(password),
    quota_mb: limits.get(address.toLowerCase()) ?? null,
    active: true,
  };
}

/** Lines address target,target; @one @other for a whole domain. */
function aliasesIn(lines: readonly Line[]): Pick<Source, "aliases" | "domainAliases"> {
  const found: Pick<Source, "aliases" | "domainAliases"> = { aliases: [], domainAliases: [] };
  for (const { text, place } of lines) {
    const [address = "", ...rest] = text.split(/\s+/);
    const targets = rest.join("").split(",");
    const [target = ""] = targets;
    if (address.startsWith("@") && target.startsWith("@"))
      found.domainAliases.push({ name: address.slice(1), of: target.slice(1) });
    else found.aliases.push({ address, place, targets, send_as: false });
  }
  return found;
}
