import { StateDigest } from "./digest.ts";
import { type DomainRecord, type MailRecord, parseRecord, type UserRecord } from "./records.ts";

export const PROTOCOL = "m25-mail-sync-1";

/** How many records of each kind a state has. */
export interface Counts {
  domains: number;
  users: number;
}

/** The first line of every answer with maps. */
export interface Header {
  protocol: typeof PROTOCOL;
  kind: "snapshot";
  /** Random id of this database's line of revisions; a restored copy starts another one. */
  history: string;
  revision: number;
  digest: string;
  counts: Counts;
}

/** The domains and active users that a node must serve. */
export interface MailState {
  history: string;
  revision: number;
  digest: string;
  domains: ReadonlyMap<string, DomainRecord>;
  users: ReadonlyMap<string, UserRecord>;
}

export function encodeHeader(header: Omit<Header, "protocol" | "kind">): string {
  const { history, revision, digest, counts } = header;
  const whole: Header = { protocol: PROTOCOL, kind: "snapshot", history, revision, digest, counts };
  return JSON.stringify(whole);
}

export function encodeEnd(records: number): string {
  return JSON.stringify({ end: records });
}

/** The ETag of a state: revision and digest, for after a restored backup the same number may mean other content. */
export function stateTag(state: { revision: number; digest: string }): string {
  return `"${state.revision}-${state.digest}"`;
}

/** Why an answer was refused; `line` is the number of the offending line, from 1. */
export class RefusedAnswer extends Error {
  override readonly name = "RefusedAnswer";
  readonly reason: RefusalReason;
  readonly line: number;

  constructor(reason: RefusalReason, line: number) {
    super(`${refusalReasons[reason]} (line ${line})`);
    this.reason = reason;
    this.line = line;
  }
}

/** Each reason with its plain words. Only the name travels in a report: list_nodes is read by a model. */
export const refusalReasons = {
  not_maps: "the answer does not begin as maps do",
  wrong_protocol: "the answer is of a protocol that this program does not speak",
  damaged_record: "a record is not well formed",
  duplicate_record: "a record stands there twice",
  foreign_user: "a user's domain is not among the domains",
  cut_short: "the answer ends before its end line",
  wrong_counts: "the records are not as many as the header and the end line say",
  wrong_digest: "the records do not add up to the digest",
  too_large: "the answer is larger than this program accepts",
} as const;

export type RefusalReason = keyof typeof refusalReasons;

/**
 * Reads an answer line by line and gives the state only when all of it was seen and proved: protocol,
 * every value, no duplicates, counts, end line, digest. Every method throws RefusedAnswer.
 */
export class SnapshotReader {
  #header: Header | undefined;
  #ended = false;
  #lines = 0;
  readonly #digest = new StateDigest();
  readonly #domains = new Map<string, DomainRecord>();
  readonly #users = new Map<string, UserRecord>();

  push(line: string): void {
    this.#lines += 1;
    if (this.#header === undefined) this.#header = this.#parseHeader(line);
    else if (this.#ended) this.#refuse("wrong_counts");
    else if (line.startsWith('{"end":')) this.#end(line);
    else this.#add(parseRecord(line) ?? this.#refuse("damaged_record"));
  }

  finish(): MailState {
    if (this.#header === undefined) return this.#refuse("not_maps");
    if (!this.#ended) return this.#refuse("cut_short");
    const { history, revision, digest, counts } = this.#header;
    if (counts.domains !== this.#domains.size || counts.users !== this.#users.size)
      this.#refuse("wrong_counts");
    if (digest !== this.#digest.toString()) this.#refuse("wrong_digest");
    return { history, revision, digest, domains: this.#domains, users: this.#users };
  }

  #add(record: MailRecord): void {
    if ("domain" in record) {
      if (this.#domains.has(record.domain)) this.#refuse("duplicate_record");
      this.#domains.set(record.domain, record);
    } else {
      if (this.#users.has(record.user)) this.#refuse("duplicate_record");
      const domain = record.user.slice(record.user.indexOf("@") + 1);
      if (!this.#domains.has(domain)) this.#refuse("foreign_user");
      this.#users.set(record.user, record);
    }
    this.#digest.add(record);
  }

  #end(line: string): void {
    if (line !== encodeEnd(this.#domains.size + this.#users.size)) this.#refuse("wrong_counts");
    this.#ended = true;
  }

  #parseHeader(line: string): Header {
    let header: Partial<Header> | null;
    try {
      header = JSON.parse(line);
    } catch {
      return this.#refuse("not_maps");
    }
    if (typeof header !== "object" || header === null || typeof header.protocol !== "string") {
      return this.#refuse("not_maps");
    }
    if (header.protocol !== PROTOCOL || header.kind !== "snapshot") return this.#refuse("wrong_protocol");
    const { history, revision, digest, counts } = header;
    const valid =
      typeof history === "string" &&
      /^[0-9a-f]{32}$/.test(history) &&
      isCount(revision) &&
      typeof digest === "string" &&
      /^[0-9a-f]{64}$/.test(digest) &&
      isCount(counts?.domains) &&
      isCount(counts?.users);
    return valid ? (header as Header) : this.#refuse("not_maps");
  }

  #refuse(reason: RefusalReason): never {
    throw new RefusedAnswer(reason, this.#lines);
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
