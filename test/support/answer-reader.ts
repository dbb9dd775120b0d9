import { isDeepStrictEqual } from "node:util";
import type { Counts, Header } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import { AnswerParser, domainOf } from "../../src/sync/reader.ts";
import {
  type AddressRecord,
  type AliasRecord,
  type DomainAliasRecord,
  type DomainRecord,
  EVERYWHERE,
  keyOf,
  kindOf,
  type LiveAliasRecord,
  type MailRecord,
  type NodeRole,
  type RecordKind,
  type UserRecord,
} from "../../src/sync/records.ts";

/** The domains, active users and aliases that a node must serve, by their names. */
export interface MailState {
  role: NodeRole;
  history: string;
  revision: number;
  digest: string;
  cursor: string;
  domains: ReadonlyMap<string, DomainRecord>;
  users: ReadonlyMap<string, UserRecord | AddressRecord>;
  aliases: ReadonlyMap<string, AliasRecord | LiveAliasRecord>;
  domainAliases: ReadonlyMap<string, DomainAliasRecord>;
}

type Heading = Pick<MailState, "role" | "history" | "revision" | "digest" | "cursor">;

/** Records of each kind by their keys. */
type Records = Record<RecordKind, Map<string, MailRecord>>;

/**
 * Reads an answer into memory, and returns the state only after it has verified all of it, as m25-mail-node does with SQLite
 * (src/node/replica/incoming.ts). Every method throws RefusedAnswer.
 */
export class AnswerReader {
  readonly #base: MailState | undefined;
  readonly #parser = new AnswerParser();
  readonly #seen = new Set<string>();
  #heading: Heading | undefined;
  #records: Records = { domain: new Map(), domain_alias: new Map(), user: new Map(), alias: new Map() };
  #digest = new StateDigest();

  /** @param base the state whose cursor was sent; without one a delta is refused */
  constructor(base?: MailState) {
    this.#base = base;
  }

  push(line: string): void {
    const record = this.#parser.push(line);
    const { header } = this.#parser;
    if (header !== undefined) this.#heading ??= this.#begin(header);
    if (record === undefined) return;
    const [kind, key] = [kindOf(record), keyOf(record)];
    if (this.#seen.has(`${kind} ${key}`)) this.#parser.refuse("duplicate_record");
    this.#seen.add(`${kind} ${key}`);
    const domain = "removed" in record ? undefined : domainNeededBy(record);
    if (domain !== undefined && !this.#records.domain.has(domain)) this.#parser.refuse("foreign_user");
    this.#set(this.#records[kind], key, "removed" in record ? undefined : record);
  }

  /** @returns the state that the answer leads to */
  finish(): MailState {
    const { counts, digest } = this.#parser.finish();
    const heading = this.#heading ?? this.#parser.refuse("not_maps");
    const { domain, domain_alias, user, alias } = this.#records;
    const found: Counts = {
      domains: domain.size,
      users: user.size,
      aliases: alias.size,
      domain_aliases: domain_alias.size,
    };
    if (!isDeepStrictEqual(counts, found)) this.#parser.refuse("wrong_counts");
    if (digest !== this.#digest.toString()) this.#parser.refuse("wrong_digest");
    const records = { domains: domain, users: user, aliases: alias, domainAliases: domain_alias };
    return { ...heading, ...records } as unknown as MailState;
  }

  #begin({ kind, role, history, revision, digest, cursor }: Header): Heading {
    const heading = { role, history, revision, digest, cursor };
    if (kind === "snapshot") return heading;
    const base = this.#base;
    if (base === undefined || base.history !== history || base.role !== role)
      return this.#parser.refuse("wrong_protocol");
    if (base.revision > revision) return this.#parser.refuse("older_revision");
    this.#digest = StateDigest.fromHex(base.digest);
    this.#records = {
      domain: new Map(base.domains),
      domain_alias: new Map(base.domainAliases),
      user: new Map(base.users),
      alias: new Map(base.aliases),
    };
    return heading;
  }

  /** A removal may name an unknown record: one that came and went between two polls. */
  #set(records: Map<string, MailRecord>, key: string, after: MailRecord | undefined): void {
    const before = records.get(key);
    if (before !== undefined) this.#digest.remove(before);
    if (after === undefined) records.delete(key);
    else records.set(key, after);
    if (after !== undefined) this.#digest.add(after);
  }
}

/** The domain that must be served with this record. */
function domainNeededBy(record: MailRecord): string | undefined {
  if ("domain" in record) return undefined;
  if ("of" in record) return record.of;
  const key = keyOf(record);
  return key === EVERYWHERE ? undefined : domainOf(key);
}
